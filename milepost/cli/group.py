"""The group itself: what all commands share, and how an error ends one.

Exit status: 0 fine, 1 the command worked and the news is bad, 2 it did not work
and one sentence on standard error says what to do.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import click

from milepost import __version__
from milepost.errors import (
    ConfigError,
    ForbiddenError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)
from milepost.settings import PREFIX, SETTINGS

FAILED = 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command may know of the world it was typed into."""

    env: Mapping[str, str]
    fleet: Path


class FailedError(click.ClickException):
    """A command did not work."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Say why in one line."""
        click.echo(f"milepost: {self.format_message()}", file=file or sys.stderr)


class Commands(click.Group):
    """A group whose commands end with a sentence where they would end with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except (ConfigError, ServiceError) as error:
            raise FailedError(sentence(error)) from error
        except BrokenPipeError:  # the reader has seen enough
            _silence(sys.stdout)
            ctx.exit(0)
        except OSError as error:
            msg = f"{error.filename or 'the system'}: {error.strerror or error}"
            raise FailedError(msg) from error


def sentence(error: Exception) -> str:
    """Return *error*'s text together with what to do about it."""
    match error:
        case UnavailableError():
            return f"{error}; is it running? `milepost dev` starts a platform on this machine"
        case UnauthorizedError():
            return f"{error}; the token is {PREFIX}TOKEN's, or else the fleet file's"
        case ForbiddenError():
            return f"{error}; use a token that has it"
        case _:
            return str(error)


def example(*lines: str) -> str:
    """Return the end of a help text: what to type.  (The first character keeps the lines.)"""
    return "\n  ".join(["\b\nExample:", *lines])


def _silence(out: TextIO) -> None:
    # Python flushes standard output when it ends, which would fail once more.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())


def _other_fleet(ctx: click.Context, _option: click.Parameter, fleet: Path | None) -> None:
    if fleet is not None:
        ctx.obj = replace(ctx.obj, fleet=fleet)


# `milepost hits --fleet F` is what one types first; `milepost --fleet F hits` works as well.
fleet_option = click.option(
    "--fleet",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_other_fleet,
    expose_value=False,
    help="The fleet.json of a running `milepost dev`, if it is not the usual one.",
)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example(
        "milepost dev          the whole platform on this machine",
        "milepost hits         in another terminal: the newest clicks",
    ),
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=f"{PREFIX}FLEET",
    default=SETTINGS["FLEET"].default,
    show_default=True,
    show_envvar=True,
    help="The fleet.json of a running `milepost dev`.",
)
@click.version_option(__version__, prog_name="milepost")
@click.pass_context
def cli(ctx: click.Context, fleet: Path) -> None:
    """Redirect visitors in their region, and count every click exactly once."""
    ctx.obj = Surroundings(os.environ, fleet)
