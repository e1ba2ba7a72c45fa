"""How sums are shown: tables with small charts for people, a row a line for programs."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from milepost.cli.charts import bar, line
from milepost.cli.output import cell, console

COUNTS = ("hits", "clicks", "uniques")
BOTS = {"exclude": "people", "include": "people and bots", "only": "bots"}
ABSENT = "(none)"


def rows(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return what was answered as one row a line: what each is stands in `what`."""
    parts = {"series", "groups", "rest", "total"}
    about = {name: value for name, value in answer.items() if name not in parts}
    yield {"what": "total", **about, **answer["total"]}
    yield from ({"what": "bucket", **each} for each in answer.get("series", ()))
    yield from ({"what": "group", **each} for each in answer.get("groups", ()))
    if "rest" in answer:
        yield {"what": "rest", **answer["rest"]}


def show(answer: Mapping[str, Any]) -> None:
    """Print *answer* for people."""
    out = console()
    for sentence in sentences(answer):
        click.echo(cell(sentence))
    if series := answer.get("series"):
        _show_series(out, series)
    if "groups" in answer:
        _show_groups(out, answer)


def sentences(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say what was counted, and what a person should know of it."""
    total = answer["total"]
    counts = ", ".join(f"{total[name]:,} {name}" for name in COUNTS if name in total)
    yield f"{counts} of {BOTS[answer['bots']]}"
    epochs = answer["epochs"]
    yield (
        f"from {answer['start']} to {answer['end']}"
        + (f"; uniques of {epochs} epochs, added up" if epochs > 1 and "uniques" in total else "")
    )
    if "rows_since" in answer:
        yield f"there are single hits since {answer['rows_since']}; older ones are only sums"


def _show_series(out: Console, series: Sequence[Mapping[str, Any]]) -> None:
    plain = out.options.ascii_only
    clicks = [each["clicks"] for each in series]
    click.echo(f"\nclicks  {line(clicks, plain=plain)}\n")
    table = _table(["START"], series[0])
    for each in series:
        table.add_row(each["start"], *_numbers(each), bar(each["clicks"], max(clicks), plain=plain))
    out.print(table)


def _show_groups(out: Console, answer: Mapping[str, Any]) -> None:
    plain, names, groups = out.options.ascii_only, answer["group_by"], answer["groups"]
    click.echo()
    if not groups:
        click.echo("no groups: there is nothing in this range")
        return
    table = _table([name.upper() for name in names], groups[0])
    most = max(each["clicks"] for each in groups)
    for each in groups:
        chart = bar(each["clicks"], most, plain=plain)
        if "series" in each:
            chart = line(each["series"]["clicks"], plain=plain)
        table.add_row(*(_name(each[name]) for name in names), *_numbers(each), chart)
    out.print(table)
    rest = answer["rest"]
    if rest["groups"]:
        click.echo(
            f"and {rest['groups']:,} more with {rest['hits']:,} hits, {rest['clicks']:,} clicks "
            "(--limit shows more)"
        )


def _table(titles: Iterable[str], counts: Container[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for name in (name for name in COUNTS if name in counts):
        table.add_column(name.upper(), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _name(value: Any) -> Text:
    return Text(ABSENT if value is None else cell(value))


def _numbers(counts: Mapping[str, Any]) -> list[str]:
    return [f"{counts[name]:,}" for name in COUNTS if name in counts]
