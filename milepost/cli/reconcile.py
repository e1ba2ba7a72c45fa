"""`milepost reconcile`: whether every visit is accounted for."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

LIMIT_MAX = 10_000
BAD_NEWS = 1
COUNTS = {
    "served": "SERVED",
    "recorded": "RECORDED",
    "late": "LATE",
    "shed": "SHED",
    "excluded": "EXCLUDED",
    "lost": "LOST",
    "behind": "BEHIND",
    "pulled": "PULLED",
    "waiting": "WAITING",
    "set_aside": "SET ASIDE",
    "unaccounted": "UNACCOUNTED",
}
PLACES = {"region": "REGION", "hour": "HOUR"}


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was answered as one row a line: what each is stands in `what`."""
    return [
        {"what": "total", **answer["total"]},
        *({"what": "region", **each} for each in answer["regions"]),
        *({"what": "unaccounted", **each} for each in answer["unaccounted"]),
        *({"what": "span", **each} for each in answer["spans"]),
        *({"what": "hour", **each} for each in answer["hours"]),
    ]


def sums(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sums over everything: each region, and all of them."""
    return [*answer["regions"], {"region": "all", **answer["total"]}]


def sentences(answer: dict[str, Any]) -> list[str]:
    """Say what a person should know beyond the tables."""
    said = [
        f"nobody can speak for {span['region']} (machine {span['machine']}) "
        f"from {span['from']} "
        + (f"until {span['until']}" if span["until"] else "on; nothing has begun there since")
        for span in answer["spans"]
    ]
    said += [
        f"{each['unaccounted']} clicks of {each['region']} in the hour {each['hour']} "
        "are unaccounted for"
        for each in answer["unaccounted"]
    ]
    if answer["next"]:
        said.append(f"older hours: --end {answer['next']}")
    return said


def parameters(given: dict[str, Any]) -> dict[str, str]:
    """Return those of the parameters that were *given*."""
    return {name: str(value) for name, value in given.items() if value is not None}


@click.command(epilog=example("milepost reconcile --region dfw --start 2026-01-31T00:00:00Z"))
@click.option("--region", help="Only this region; the exit status is about it alone then.")
@click.option("--start", metavar="TIME", help="Hours from this one on; the last day by default.")
@click.option("--end", metavar="TIME", help="Hours before this one.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    help="How many rows of hours at most.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def reconcile(ctx: click.Context, /, *, as_json: bool, **given: Any) -> None:
    """Show what became of every visit, and whether that adds up.

    The sums are over everything, the hours are those that are asked for.  Exits with
    1 when visits are unaccounted for, in whichever hour.
    """
    here: Surroundings = ctx.obj

    async def question(client: Client) -> Any:
        return await client.get("/v1/reconciliation", parameters(given))

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    if as_json:
        emit_json(rows(answer))
    else:
        emit_table(PLACES | COUNTS, answer["hours"], "no hours in this range")
        click.echo("\nover everything:")
        emit_table({"region": "REGION"} | COUNTS, sums(answer), "nothing yet")
        for sentence in sentences(answer):
            click.echo(cell(sentence))
    if answer["total"]["unaccounted"]:
        ctx.exit(BAD_NEWS)
