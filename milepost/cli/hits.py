"""`milepost hits`: the newest clicks."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

LIMIT_MAX = 10_000
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


def shown(hit: dict[str, Any]) -> dict[str, Any]:
    """Return *hit* as a row of the table."""
    visitor = hit.get("visitor")
    return {**hit, "visitor": visitor[:VISITOR_CHARS] if isinstance(visitor, str) else None}


def query(limit: int, filters: dict[str, str | None]) -> dict[str, str]:
    """Return the parameters of the question for the newest hits."""
    given = {name: value for name, value in filters.items() if value is not None}
    return {"limit": str(limit), "direction": "desc", **given}


@click.command(
    epilog=example("milepost hits --region dfw --limit 5", "milepost hits --json | jq .target")
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=20,
    show_default=True,
    help="How many at most.",
)
@click.option("--region", help="Only those that this region answered.")
@click.option("--link", help="Only those of the link with this id.")
@click.option(
    "--kind", type=click.Choice(["prefix", "link", "orphan"]), help="Only those of this kind."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_obj
def hits(
    here: Surroundings,
    *,
    limit: int,
    region: str | None,
    link: str | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Show the newest hits, the newest first."""
    params = query(limit, {"region": region, "link": link, "kind": kind})

    async def question(client: Client) -> Any:
        return await client.get("/v1/hits", params)

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    if as_json:
        emit_json(answer["hits"])
    else:
        emit_table(COLUMNS, [shown(hit) for hit in answer["hits"]], "no hits yet")
