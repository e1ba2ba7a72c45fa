"""`milepost keys audit`: who asked the key server for what, and whether that is the whole truth."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from milepost.audit import CHAIN_BYTES, AuditRow, audit_row_from, verify_trail
from milepost.batch import hex_bytes
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, ask, find
from milepost.client import Client
from milepost.errors import RejectedError

BAD_NEWS = 1
COLUMNS = {
    "number": "ROW",
    "at": "AT",
    "who": "WHO",
    "what": "WHAT",
    "epoch": "EPOCH",
    "count": "COUNT",
}


@click.command("audit", epilog=example("milepost keys audit --verify --limit 20"))
@click.option("--verify", is_flag=True, help="Check the chain from its beginning.")
@click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="The newest rows only."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def audit_keys(ctx: click.Context, *, verify: bool, limit: int, as_json: bool) -> None:
    """Show who asked the key server for what.

    With --verify it exits with 1 when a row was changed, left out or put in, and names the first.
    """
    here: Surroundings = ctx.obj
    begins, rows = asyncio.run(ask(find(here, Central.KEYS), _whole_trail))
    newest = [row.to_json() for row in islice(rows, max(0, len(rows) - limit), None)]
    if as_json:
        emit_json(newest)
    else:
        emit_table(COLUMNS, [{**row, "at": moment(row["at_ms"])} for row in newest], "no calls yet")
    if verify:
        _verify(ctx, begins, rows)


async def _whole_trail(client: Client) -> tuple[tuple[int, bytes], list[AuditRow]]:
    """Return where the trail begins, and all of it, page by page."""
    rows: list[AuditRow] = []
    while True:
        after = rows[-1].number if rows else 0
        told: dict[str, Any] = await client.get("/v1/audit", {"after": str(after)})
        page = [audit_row_from(row) for row in told["rows"]]
        rows += [row for row in page if row.number > after]
        if not page or page[-1].number <= after:
            return _begins(told), rows


def _begins(told: dict[str, Any]) -> tuple[int, bytes]:
    begins = told["begins"]
    return int(begins["number"]), hex_bytes(begins["chain"], CHAIN_BYTES, "chain")


def _verify(ctx: click.Context, begins: tuple[int, bytes], rows: Sequence[AuditRow]) -> None:
    number, chain = begins
    try:
        verify_trail(rows, chain, number)
    except RejectedError as error:
        click.echo(f"the trail is broken: {error}", err=True)
        ctx.exit(BAD_NEWS)
    since = f" since it was recovered at row {number + 1}" if number else ""
    click.echo(f"{len(rows)} rows hold together{since}", err=True)
