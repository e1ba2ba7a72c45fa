"""Which hits are meant: what is typed behind `milepost hits` and `milepost export`."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode

import click

# Every name by which the aggregator filters, and what to say of it.
FILTERS: dict[str, str] = {
    "kind": "prefix, link or orphan",
    "method": "GET or HEAD",
    "host": "the host as received",
    "path": "path and query as received",
    "url": "host and path as received; with * at the end: all that begin so",
    "target": "where the visit was sent; with * at the end: all that begin so",
    "status": "the status of the answer",
    "region": "the region that answered",
    "link": "the id of the link",
    "variant": "the variant of the link",
    "country": "the visitor's country",
    "subdivision": "the visitor's part of a country",
    "asn": "the number of the visitor's network",
    "visitor": "the hash of the visitor",
    "session": "the playback session",
    "ulid": "the ULID",
    "agent": "the user agent",
    "device": "the device, by the user agent",
    "os": "the operating system, by the user agent",
    "browser": "the browser, by the user agent",
    "class": "human, bot, preview, scanner or library, by the user agent",
    "bots": "include, exclude or only",
    "referer": "the referer as received",
    "referrer": "the host of the referer",
    "source": "the attribution",
    "source_kind": "explicit or implicit attribution",
    "range": "the range that was asked for",
    "language": "the language that was asked for",
    "opt_out": "true or false: the visitor asked not to be recognised",
    "arguments": "the arguments of a prefix",
    "cut": "the names of fields that were cut",
    "oddity": "what was odd about a prefix's target",
}
SPAN: dict[str, str] = {
    "start": "Only from this moment on: RFC 3339, a day, or a time before now such as -24h.",
    "end": "Only before this moment.",
    "tz": "The time zone in which a day begins, such as Europe/Paris; otherwise UTC.",
}

ZONE = "tz"

Command = TypeVar("Command", bound=Callable[..., Any])
Question = list[tuple[str, str]]


def selecting_options(command: Command, *, zones: bool = True) -> Command:
    """Add an option for each filter and for the span of time, kept for `selected`.

    Without *zones* days are those of UTC, and no other can be asked for.
    """
    for name, meaning in reversed(FILTERS.items()):
        command = _option(name, f"Only with this: {meaning}.", multiple=True)(command)
    for name, meaning in reversed(SPAN.items()):
        if name == ZONE and not zones:
            continue
        command = _option(name, meaning, multiple=False)(command)
    return command


def _option(name: str, meaning: str, *, multiple: bool) -> Callable[[Command], Command]:
    return click.option(
        f"--{name.replace('_', '-')}",
        f"told_{name}",
        multiple=multiple,
        expose_value=False,
        callback=_keep,
        help=meaning,
    )


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Keep what was typed where the command finds it, whichever options there are."""
    name = str(option.name).removeprefix("told_")
    values: Iterable[str] = value if isinstance(value, tuple) else [value] * (value is not None)
    ctx.meta.setdefault(__name__, []).extend((name, each) for each in values)


def selected(ctx: click.Context) -> Question:
    """Return the parameters of which hits are meant."""
    found: Question = ctx.meta.get(__name__, [])
    return found


def path_of(path: str, question: Question) -> str:
    """Return *path* with the parameters of *question*."""
    return f"{path}?{urlencode(question)}" if question else path
