"""`milepost stats`: how many hits, clicks and visitors, by what and when."""

import asyncio
from typing import Any

import click
from click.shell_completion import CompletionItem

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.hit_filters import path_of, selected, selecting_options
from milepost.cli.output import emit_json
from milepost.cli.places import Central, ask, find
from milepost.cli.stats_shown import rows, show
from milepost.client import Client

LIMIT_MAX = 1_000
DIMENSIONS = (
    *("link", "region", "country", "referrer", "source", "device", "os", "browser"),
    *("class", "status", "variant", "kind", "host"),
)
INTERVALS = ("hour", "day", "week", "month")


def _complete_dimension(
    _ctx: click.Context, _param: click.Parameter, typed: str
) -> list[CompletionItem]:
    before, comma, last = typed.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}") for name in DIMENSIONS if name.startswith(last)
    ]


@click.command(
    epilog=example(
        "milepost stats --group-by link",
        "milepost stats --start -7d --interval day --tz Europe/Paris",
        "milepost stats --country DE --country FR --group-by link,browser --limit 10",
        "milepost stats --json | jq .clicks",
    )
)
@click.option(
    "--group-by",
    metavar="BY[,BY]",
    shell_complete=_complete_dimension,
    help=f"One or two of {', '.join(DIMENSIONS)}.",
)
@click.option("--interval", type=click.Choice(INTERVALS), help="Also a series by this.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=20,
    show_default=True,
    help="How many groups at most.",
)
@click.option("--no-uniques", is_flag=True, help="Leave them out: by the hour they cost most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@selecting_options
@fleet_option
@click.pass_context
def stats(ctx: click.Context, /, *, as_json: bool, no_uniques: bool, **options: Any) -> None:
    """Count hits, clicks and unique visitors: of the last 30 days, and without bots.

    The range is rounded outwards to whole hours.  A filter that comes several times takes any
    of its values; a "!" in front of a value takes all others.
    """
    here: Surroundings = ctx.obj
    told = [(name, str(value)) for name, value in options.items() if value is not None]
    told += [("uniques", "false")] if no_uniques else []
    asked = path_of("/v1/stats", [*told, *selected(ctx)])

    async def question(client: Client) -> Any:
        return await client.get(asked)

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    if as_json:
        emit_json(rows(answer))
    else:
        show(answer)
