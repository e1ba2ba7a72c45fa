"""`milepost serve`: one service, in the foreground."""

import os
import sys

import click

from milepost.cli.group import example

PACKAGES = {
    "edge": "regional_logger",
    "aggregator": "aggregator",
    "keys": "key_server",
    "links": "link_registry",
}


def command_of(service: str, *arguments: str) -> list[str]:
    """Return the command that runs *service*, under this Python."""
    return [sys.executable, "-P", "-m", PACKAGES[service], *arguments]


def become(command: list[str]) -> None:
    """Go on as *command*, under the same process id: signals and exit status are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - no shell, and the words are ours


@click.command(epilog=example("MILEPOST_DATA=/data milepost serve edge"))
@click.argument("service", type=click.Choice(sorted(PACKAGES)))
def serve(service: str) -> None:
    """Run one service with the settings in the environment.

    `milepost config SERVICE` shows the settings that it would use.
    """
    become(command_of(service))
