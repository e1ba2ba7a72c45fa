"""What is typed behind `milepost links`, and what the registry is sent for it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from milepost.cli.links_explain import rules_option
from milepost.etags import etag_of
from milepost.links import STATUSES

NEVER, NONE = "never", "none"
STATUS_CHOICE = click.Choice([str(status) for status in STATUSES])
SORT_CHOICE = click.Choice(["created", "updated", "host", "path", "destination"])

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
if_match_option = click.option(
    "--if-match",
    "if_match_version",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="Only if the link still has this version.",
)


def moment(text: str) -> int | str:
    """Read a time as people write it (RFC 3339; without an offset it is UTC), or never."""
    if text == NEVER:
        return NEVER
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"want a time such as 2030-12-31T23:59:59Z, or {NEVER}"
        raise click.BadParameter(msg) from error
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000)


def _click_limit(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> int | str | None:
    if text is None or text == NONE:
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    msg = f"want a number, or {NONE}"
    raise click.BadParameter(msg)


def behaviour_options(command: Command) -> Command:
    """Add the options that a link is made and changed with alike."""
    for option in (
        click.option("--note", help="A note for people; an empty one takes it away."),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            help="A tag; once for each.  An empty one alone takes all away.",
        ),
        click.option(
            "--click-limit",
            callback=_click_limit,
            metavar="CLICKS",
            help="After how many clicks it is disabled, or none.",
        ),
        click.option(
            "--expires",
            type=moment,
            metavar="TIME",
            help="When it ends and answers 410 (RFC 3339), or never.",
        ),
        click.option(
            "--pass-query/--drop-query",
            default=None,
            help="Whether a visit's query goes on to the destination.  [default: drop]",
        ),
        click.option(
            "--status", type=STATUS_CHOICE, help="Status of the redirect.  [default: 302]"
        ),
        rules_option,
    ):
        command = option(command)
    return command


def filter_options(command: Command) -> Command:
    """Add the options that say which links are meant."""
    for option in (
        click.option("--descending", is_flag=True, help="The last first."),
        click.option("--sort", type=SORT_CHOICE, help="By what.  [default: created]"),
        click.option("--pattern/--literal", default=None, help="Only of this kind of path."),
        click.option("--expired/--not-expired", default=None, help="Only that have ended, or not."),
        click.option("--enabled/--disabled", default=None, help="Only that redirect, or do not."),
        click.option("--to", "destination_host", help="Only that lead to this host."),
        click.option("--tag", multiple=True, help="Only with this tag; several: with all."),
        click.option("--path-prefix", help="Only whose path begins so."),
        click.option("--host", help="Only of this host; * for those of every host."),
        click.option("--search", "-q", "q", help="In path, destination, note and tags."),
    ):
        command = option(command)
    return command


def filters(
    *, descending: bool, pattern: bool | None, tag: tuple[str, ...], **given: Any
) -> list[tuple[str, str]]:
    """Return the filters that were given, as the query of a call."""
    found = [(name, _written(value)) for name, value in given.items() if value is not None]
    if pattern is not None:
        found.append(("kind", "pattern" if pattern else "literal"))
    if descending:
        found.append(("direction", "desc"))
    return found + [("tag", each) for each in tag]


def if_match(version: int | None) -> dict[str, str]:
    """Return the header that names the *version* that is to be changed."""
    return {} if version is None else {"If-Match": etag_of(version)}


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def changes(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given, as the registry wants them."""
    given = {name: value for name, value in fields.items() if value is not None and value != ()}
    if "status" in given:
        given["status"] = int(given["status"])
    if "expires" in given:
        expires = given.pop("expires")
        given["expires_ms"] = None if expires == NEVER else expires
    if "tags" in given:
        given["tags"] = [tag for tag in given["tags"] if tag]
    if given.get("click_limit") == NONE:
        given["click_limit"] = None
    return given
