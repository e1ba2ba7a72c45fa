"""`milepost links status`: how far each region is behind the registry."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, ask, find
from milepost.client import Client

BEHIND_MS_MAX, SILENT_MS_MAX = 30_000, 60_000
BAD_NEWS = 1
COLUMNS = {
    "region": "REGION",
    "machine": "MACHINE",
    "position": "POSITION",
    "behind_by": "BEHIND BY",
    "heard": "LAST HEARD",
    "news": "NEWS",
}


def news(machine: dict[str, Any]) -> str:
    """Return what is wrong with *machine*, or nothing."""
    found = []
    if machine["silent_ms"] > SILENT_MS_MAX:
        found.append(f"silent for {machine['silent_ms'] // 1_000} s")
    if machine["behind_ms"] > BEHIND_MS_MAX:
        found.append(f"behind for {machine['behind_ms'] // 1_000} s")
    return "; ".join(found)


def worst_first(machines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *machines* with what needs a look at the top."""
    return sorted(
        machines, key=lambda one: (not news(one), -one["behind_ms"], one["region"], one["machine"])
    )


def shown(machine: dict[str, Any]) -> dict[str, Any]:
    """Return *machine* as a table shows it."""
    behind = machine["behind"]
    place = machine["place"] or ""
    return machine | {
        "position": place.rpartition(":")[2] or None,
        "behind_by": "a snapshot" if behind is None else f"{behind:,} changes" if behind else "-",
        "heard": moment(machine["heard_ms"]),
        "news": news(machine) or None,
    }


@click.command(epilog=example("milepost links status --json"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show how far each edge has followed the changes of links, the worst first.

    Exits with 1 when one of them has been behind for half a minute, or silent for a minute.
    """
    here: Surroundings = ctx.obj

    async def question(client: Client) -> Any:
        return await client.get("/v1/feed/positions")

    place = find(here, Central.LINKS, holder="read")
    found = worst_first(asyncio.run(ask(place, question))["machines"])
    if as_json:
        emit_json(found)
    else:
        emit_table(COLUMNS, [shown(one) for one in found], "no edge has reported yet")
    if any(map(news, found)):
        ctx.exit(BAD_NEWS)
