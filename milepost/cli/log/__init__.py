"""`milepost log`: the streams of an edge, read from their files.

Works on a running edge, a stopped one and a copy alike: files are opened for
reading only, and nothing in them is changed or checkpointed.
"""

import click

from milepost.cli.group import example
from milepost.cli.log.cat import cat, tail
from milepost.cli.log.ls import ls
from milepost.cli.log.verify import verify


@click.group(epilog=example("milepost log ls", "milepost log cat --open /data/log"))
def log() -> None:
    """Look into the streams of an edge, on its disk or in a copy."""


for command in (ls, cat, tail, verify):
    log.add_command(command)

__all__ = ["log"]
