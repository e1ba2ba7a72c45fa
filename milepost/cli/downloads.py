"""`milepost downloads`: how many there were, by OP3's rule."""

import asyncio
from functools import partial
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.hit_filters import path_of, selected, selecting_options
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

LIMIT_MAX = 10_000
WAIT_SECONDS = 300.0
GROUPS = ("day", "link", "target")


@click.command(
    epilog=example(
        "milepost downloads --start 2026-01-01 --end 2026-02-01",
        "milepost downloads --group-by target --host pods.example --start=-30d",
    )
)
@click.option(
    "--group-by", type=click.Choice(GROUPS), default=GROUPS[0], show_default=True,
    help="What they are counted by.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=100, show_default=True,
    help="How many rows at most; those with the most downloads.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@partial(selecting_options, zones=False)
@fleet_option
@click.pass_context
def downloads(ctx: click.Context, *, group_by: str, limit: int, as_json: bool) -> None:
    """Count downloads over whole days in UTC; without a start, the last seven.

    A hit counts by a rule with a name, which the answer tells.  A day that is not over, or
    whose hits have not all arrived, may still grow.
    """
    here: Surroundings = ctx.obj
    shape = [("group_by", group_by), ("limit", str(limit))]
    asked = path_of("/v1/downloads", [*shape, *selected(ctx)])

    async def question(client: Client) -> Any:
        return await client.call("GET", asked, wait_seconds=WAIT_SECONDS)

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    if as_json:
        emit_json([answer])
        return
    emit_table({group_by: group_by.upper(), "downloads": "DOWNLOADS"}, answer["rows"], "none")
    click.echo(
        cell(
            f"{answer['downloads']} downloads from {answer['start'][:10]} to before "
            f"{answer['end'][:10]}, by the rule {answer['rule']}"
        )
    )
