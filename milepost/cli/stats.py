"""`milepost stats`: how many hits, clicks and visitors, by what and when."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from milepost.cli.group import FailedError, Surroundings, example, fleet_option
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
BOTS = ("exclude", "include", "only")


def parameters(filters: Iterable[str], options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the parameters of the question: *filters* as they were typed, and the options."""
    told: dict[str, list[str]] = {}
    for text in filters:
        name, sign, value = text.partition("=")
        if not sign or not name or name in options:
            msg = f"{text}: want a filter such as country=DE, link=!spring or url=go.example/a*"
            raise FailedError(msg)
        told.setdefault(name, []).append(value)
    return told | {name: [str(value)] for name, value in options.items() if value is not None}


def _complete_dimension(
    _ctx: click.Context, _param: click.Parameter, typed: str
) -> list[CompletionItem]:
    before, comma, last = typed.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}") for name in DIMENSIONS if name.startswith(last)
    ]


def _complete_filter(
    _ctx: click.Context, _param: click.Parameter, typed: str
) -> list[CompletionItem]:
    return [CompletionItem(f"{name}=") for name in DIMENSIONS if name.startswith(typed)]


@click.command(
    epilog=example(
        "milepost stats --group-by link",
        "milepost stats --start -7d --interval day --tz Europe/Paris",
        "milepost stats country=DE country=FR --group-by link,browser --limit 10",
        "milepost stats --json | jq .clicks",
    )
)
@click.argument("filters", nargs=-1, metavar="[FIELD=VALUE]...", shell_complete=_complete_filter)
@click.option(
    "--group-by",
    metavar="BY[,BY]",
    shell_complete=_complete_dimension,
    help=f"One or two of {', '.join(DIMENSIONS)}.",
)
@click.option("--interval", type=click.Choice(INTERVALS), help="Also a series by this.")
@click.option(
    "--start", metavar="TIME", help="From here on, such as -24h or 2026-01-31; -30d by default."
)
@click.option("--end", metavar="TIME", help="Up to here; now by default.")
@click.option("--tz", metavar="ZONE", help="Whose days and hours, such as Europe/Paris; or UTC.")
@click.option("--bots", type=click.Choice(BOTS), help="Whether bots count; they do not by default.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=20,
    show_default=True,
    help="How many groups at most.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def stats(
    ctx: click.Context, /, *, filters: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Count hits, clicks and unique visitors.

    FIELD=VALUE counts only what has this value; several of one field are any of them,
    FIELD=!VALUE is none of them, and FIELD= is none at all.
    """
    here: Surroundings = ctx.obj
    params = parameters(filters, options)

    async def question(client: Client) -> Any:
        return await client.get("/v1/stats", params)

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    if as_json:
        emit_json(rows(answer))
    else:
        show(answer)
