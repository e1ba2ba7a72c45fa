"""All commands in one group.  A new command is imported and listed here, and nowhere else."""

from milepost.cli.config import config
from milepost.cli.dev import dev
from milepost.cli.group import cli
from milepost.cli.hits import hits
from milepost.cli.keys import keys
from milepost.cli.links import links
from milepost.cli.serve import serve
from milepost.cli.sources import sources

for command in (dev, serve, hits, links, keys, sources, config):
    cli.add_command(command)

__all__ = ["cli"]
