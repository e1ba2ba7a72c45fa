"""`milepost hits`: the newest clicks, and those that come."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.hit_filters import Question, path_of, selected, selecting_options
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client
from milepost.errors import UnavailableError

LIMIT_MAX = 10_000
FOLLOW_SECONDS = 1.0
COLUMNS = {
    "time": "TIME",
    "region": "REGION",
    "kind": "KIND",
    "host": "HOST",
    "path": "PATH",
    "status": "STATUS",
    "target": "TARGET",
    "visitor": "VISITOR",
}
VISITOR_CHARS = 8  # enough to tell neighbours apart by eye

Rows = list[dict[str, Any]]


def shown(hit: dict[str, Any]) -> dict[str, Any]:
    """Return *hit* as a row of the table."""
    visitor = hit.get("visitor")
    return {**hit, "visitor": visitor[:VISITOR_CHARS] if isinstance(visitor, str) else None}


def line(hit: dict[str, Any]) -> str:
    """Return *hit* as a line of its own."""
    row = shown(hit)
    return "  ".join(cell(row.get(name)) for name in COLUMNS)


def query(limit: int, direction: str, order: str, selecting: Question) -> Question:
    """Return the parameters of the question."""
    return [("limit", str(limit)), ("direction", direction), ("order", order), *selecting]


@click.command(
    epilog=example(
        "milepost hits --region dfw --limit 5",
        "milepost hits --country DE --country FR --class '!bot' --start=-24h",
        "milepost hits --url 'go.example/spring*' --follow",
    )
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=20,
    show_default=True,
    help="How many at most; with --follow, how many of those that are there already.",
)
@click.option(
    "--direction", type=click.Choice(["desc", "asc"]), default="desc", show_default=True,
    help="The newest first, or the oldest.",
)  # fmt: skip
@click.option(
    "--order", type=click.Choice(["time", "arrival"]), default="time", show_default=True,
    help="By their own time, or as they became visible here.",
)  # fmt: skip
@click.option(
    "--follow", is_flag=True,
    help="Go on with those that arrive, each on a line, until interrupted.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@selecting_options
@fleet_option
@click.pass_context
def hits(
    ctx: click.Context, *, limit: int, direction: str, order: str, follow: bool, as_json: bool
) -> None:
    """Show hits, the newest first.

    A filter that comes several times takes any of its values; a "!" in front of a value
    takes all others.  An empty value stands for none at all, and "!" alone for any.
    """
    here: Surroundings = ctx.obj
    place = find(here, Central.AGGREGATOR, holder="read")
    if follow:
        emit = _emit_lines if not as_json else emit_json
        asyncio.run(_follow(place, limit, selected(ctx), emit))
        return
    asked = path_of("/v1/hits", query(limit, direction, order, selected(ctx)))

    async def question(client: Client) -> Any:
        return await client.get(asked)

    answer = asyncio.run(ask(place, question))
    if as_json:
        emit_json(answer["hits"])
    else:
        emit_table(COLUMNS, [shown(hit) for hit in answer["hits"]], "no hits yet")


def _emit_lines(rows: Rows) -> None:
    for hit in rows:
        click.echo(line(hit))


async def _follow(
    place: Place, limit: int, selecting: Question, emit: Callable[[Rows], None]
) -> None:
    async with Client.connect(place.url, place.token) as client:
        async for rows in arrivals(client, limit, selecting):
            emit(rows)


async def arrivals(client: Client, limit: int, selecting: Question) -> AsyncIterator[Rows]:
    """Give the last *limit* hits, and then all that become visible, oldest first.

    While the aggregator does not answer, it is asked again: a cursor misses nothing.
    """
    asked = query(limit, "desc", "arrival", selecting)
    cursor: Question = []
    while True:
        try:
            answer = await client.get(path_of("/v1/hits", [*asked, *cursor]))
        except UnavailableError as error:
            if not cursor:
                raise
            click.echo(f"milepost: {error}; asking again", err=True)
            await asyncio.sleep(FOLLOW_SECONDS)
            continue
        if answer["hits"]:
            yield answer["hits"][::-1]
        cursor = [("cursor", answer["newer"])]
        if len(answer["hits"]) < limit:
            await asyncio.sleep(FOLLOW_SECONDS)
