"""`milepost sources`: how far the aggregator is behind each edge."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

LAG_RECORDS_MAX = 10_000  # some seconds of a busy region
BAD_NEWS = 1
COLUMNS = {
    "region": "REGION",
    "url": "URL",
    "lag_records": "RECORDS BEHIND",
    "lag_seconds": "SECONDS BEHIND",
    "last_success": "LAST ANSWER",
    "news": "NEWS",
}


def news(source: dict[str, Any]) -> str:
    """Return what is wrong with *source*, or nothing."""
    found = [str(source["last_error"])] if source.get("last_error") else []
    if not found and not source.get("last_success"):
        found.append("has not answered yet")
    if source.get("lag_records", 0) > LAG_RECORDS_MAX:
        found.append("far behind")
    found += [f"cannot read {stream}" for stream in source.get("unreadable", ())]
    faulty = (stream for stream in source.get("streams", ()) if stream.get("fault"))
    found += [f"stream {stream['stream']}: {stream['fault']}" for stream in faulty]
    return "; ".join(found)


def worst_first(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *found* with what needs a look at the top."""
    return sorted(found, key=lambda one: (not news(one), -one.get("lag_records", 0)))


def sealed_lines(answer: dict[str, Any]) -> list[str]:
    """Say which batches are not counted among the hits, if there are any."""
    meanings = {"waiting": "wait sealed for their key", "set_aside": "cannot be read: set aside"}
    return [
        f"{answer[name]['batches']} batches ({answer[name]['records']} records) {meaning}"
        for name, meaning in meanings.items()
        if answer.get(name, {}).get("records")
    ]


def replica_lines(answer: dict[str, Any]) -> list[str]:
    """Say what of lost machines cannot be read, if there is any, and why."""
    replicas = answer.get("replicas", {})
    found = [f"replica {each['replica']}: {each['reason']}" for each in replicas.get("failed", ())]
    error = replicas.get("last_error")
    return [f"the object store is not swept: {error}", *found] if error else found


@click.command(epilog=example("milepost sources --json"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def sources(ctx: click.Context, *, as_json: bool) -> None:
    """Show every source and how far behind it the aggregator is, the worst first.

    Exits with 1 when one of them fails, cannot be read or is far behind.
    """
    here: Surroundings = ctx.obj

    async def question(client: Client) -> Any:
        return await client.get("/v1/sources")

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    found = worst_first(answer["sources"])
    if as_json:
        emit_json(found)
    else:
        emit_table(COLUMNS, [{**one, "news": news(one) or None} for one in found], "no sources")
        for line in (*sealed_lines(answer), *replica_lines(answer)):
            click.echo(line)
    if any(map(news, found)):
        ctx.exit(BAD_NEWS)
