"""`milepost set-aside`: what the aggregator keeps because it cannot read it."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

LIMIT_MAX = 1_000
RETRY_SECONDS = 600.0  # every box is opened again
BAD_NEWS = 1
COLUMNS = {
    "what": "WHAT",
    "id": "ID",
    "stream": "STREAM",
    "seq": "SEQ",
    "epoch": "EPOCH",
    "count": "RECORDS",
    "reason": "REASON",
}


def shown(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return batches and records as rows of one table."""
    batches = [
        {**each, "what": "damaged" if each.get("damaged") else "batch", "id": each["batch"]}
        for each in answer.get("batches", ())
    ]
    records = [{**each, "what": "record", "count": 1} for each in answer.get("records", ())]
    return [*batches, *records]


@click.group("set-aside", epilog=example("milepost set-aside ls"))
def set_aside() -> None:
    """Look at what cannot be read, and try it again."""


@set_aside.command("ls", epilog=example("milepost set-aside ls --json | jq .reason"))
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    help="How many at most, of batches and of single records.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_obj
def list_set_aside(here: Surroundings, *, limit: int, as_json: bool) -> None:
    """Show the batches and records that are set aside, the newest first, and why."""

    async def question(client: Client) -> Any:
        return await client.get("/v1/set-aside", {"limit": str(limit)})

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    rows = shown(answer)
    if as_json:
        emit_json(rows)
        return
    emit_table(COLUMNS, rows, "nothing is set aside")
    if any(row["what"] == "damaged" for row in rows):
        click.echo(
            "damaged: not as it was written; counted when its stream's replica or another copy of "
            "its file brings it as it was"
        )
    total = answer["total"]
    if total["records"] > sum(row["count"] for row in rows):
        click.echo(f"{total['records']} records in all; --limit shows more")


@set_aside.command(epilog=example("milepost set-aside retry"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@fleet_option
@click.pass_context
def retry(ctx: click.Context, *, as_json: bool) -> None:
    """Try to open the batches that are set aside again, with their keys asked for afresh.

    A damaged batch is not helped by it: it is counted when it comes as it was written. Exits
    with 1 when something stays set aside.
    """
    here: Surroundings = ctx.obj

    async def question(client: Client) -> Any:
        return await client.post("/v1/set-aside/retry", {}, wait_seconds=RETRY_SECONDS)

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR), question))
    if as_json:
        emit_json([answer])
    else:
        click.echo(
            f"{answer['opened']} batches opened, {answer['hits']} hits; "
            f"{answer['set_aside']} batches stay set aside"
        )
        if answer.get("damaged"):
            click.echo(
                f"{answer['damaged']} damaged batches stay set aside until they come as written"
            )
    if answer["set_aside"] or answer.get("damaged"):
        ctx.exit(BAD_NEWS)
