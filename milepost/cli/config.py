"""`milepost config`: the settings in force."""

import click

from milepost.cli.group import Surroundings, example
from milepost.cli.output import emit_json, emit_table
from milepost.config import in_force
from milepost.settings import ALL, PEOPLE

COLUMNS = {"name": "SETTING", "value": "VALUE", "source": "FROM"}
BAD_NEWS = 1
MISSING = "missing"


def settings_of(env: dict[str, str], reader: str | None) -> list[dict[str, str]]:
    """Return the settings that *reader* reads, or everybody's, each once."""
    found = {
        name: {"name": name, "value": value, "source": source}
        for each in ([reader] if reader else [*ALL, PEOPLE])
        for name, value, source in in_force(env, each)
    }
    return list(found.values())


@click.command(epilog=example("milepost config edge"))
@click.argument("service", required=False, type=click.Choice(ALL))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def config(ctx: click.Context, *, service: str | None, as_json: bool) -> None:
    """Show what SERVICE would read from this environment; secrets are masked.

    Exits with 1 when SERVICE lacks a setting.
    """
    here: Surroundings = ctx.obj
    rows = settings_of(dict(here.env), service)
    if as_json:
        emit_json(rows)
    else:
        emit_table(COLUMNS, rows, "no settings")
    if service and any(row["source"] == MISSING for row in rows):
        ctx.exit(BAD_NEWS)
