"""The `milepost` command: `cli` is the group of commands, `main` what the shell runs."""

from milepost.cli.commands import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command and exit with its status."""
    cli(prog_name="milepost")
