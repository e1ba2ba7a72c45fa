"""`milepost config`: the settings in force."""

import subprocess
from collections.abc import Mapping

import click

from milepost.cli.group import FAILED, Surroundings, example
from milepost.cli.output import emit_json, emit_table
from milepost.cli.serve import command_of
from milepost.config import EnvReader, in_force
from milepost.errors import ConfigError
from milepost.service import CHECK, PLATFORM_NAMES, with_platform_names
from milepost.settings import ALL, PEOPLE

COLUMNS = {"name": "SETTING", "value": "VALUE", "source": "FROM"}


def settings_of(env: Mapping[str, str], reader: str | None) -> list[dict[str, str]]:
    """Return the settings that *reader* reads, or everybody's, each once."""
    filled = with_platform_names(env)
    found = {
        name: {"name": name, "value": value, "source": told_by(env, name) or source}
        for each in ([reader] if reader else [*ALL, PEOPLE])
        for name, value, source in in_force(filled, each)
    }
    return list(found.values())


def told_by(env: Mapping[str, str], name: str) -> str:
    """Return the platform's variable that *name* is taken from, if it is."""
    theirs = PLATFORM_NAMES.get(name, "")
    return theirs if env.get(theirs) and not env.get(name) else ""


def faults(env: Mapping[str, str], service: str | None) -> str:
    """Return all that is wrong with *env*; what *service* would say is asked of itself."""
    if service is not None:
        command = command_of(service, CHECK)
        asked = subprocess.run(  # noqa: S603 - no shell, and the words are ours
            command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        return asked.stderr.decode("utf-8", "replace").strip() if asked.returncode else ""
    try:
        with EnvReader(env):
            return ""
    except ConfigError as error:
        return f"milepost: {error}"


@click.command(epilog=example("milepost config edge"))
@click.argument("service", required=False, type=click.Choice(ALL))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def config(ctx: click.Context, *, service: str | None, as_json: bool) -> None:
    """Show what SERVICE would read from this environment; secrets are masked.

    Exits with 2 when SERVICE would refuse it, and names all that is wrong.
    """
    here: Surroundings = ctx.obj
    rows = settings_of(here.env, service)
    if as_json:
        emit_json(rows)
    else:
        emit_table(COLUMNS, rows, "no settings")
    if wrong := faults(here.env, service):
        click.echo(wrong, err=True)
        ctx.exit(FAILED)
