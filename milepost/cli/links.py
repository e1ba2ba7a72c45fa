"""`milepost links`: managed redirects."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.link_options import (
    behaviour_options,
    changes,
    filter_options,
    filters,
    if_match,
    if_match_option,
    json_option,
)
from milepost.cli.links_explain import explain
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client
from milepost.links import ANY_HOST

PAGE = 500
PATH_AND_DESTINATION = 2
COLUMNS = {
    "id": "ID",
    "host": "HOST",
    "path": "PATH",
    "status": "STATUS",
    "enabled": "ENABLED",
    "pass_query": "QUERY",
    "expires": "EXPIRES",
    "counted": "CLICKS",
    "tags": "TAGS",
    "destination": "DESTINATION",
}
LOG_COLUMNS = {
    "time": "TIME",
    "version": "VERSION",
    "action": "ACTION",
    "who": "WHO",
    "field": "FIELD",
    "before": "BEFORE",
    "after": "AFTER",
}


def short_url(place: Place, link: dict[str, Any]) -> str:
    """Return where visitors find *link*, as far as that is known here."""
    if link["host"] != ANY_HOST:
        return f"{link['host']}{link['path']}"
    if place.fleet is not None and place.fleet.regions:
        return f"{place.fleet.regions[0].url}{link['path']}"
    return str(link["path"])


def shown(link: dict[str, Any]) -> dict[str, Any]:
    """Return *link* as a table shows it."""
    told = link | {"tags": ", ".join(link.get("tags", ())) or None}
    if link.get("click_limit") is not None:  # of others no clicks are counted
        told["counted"] = f"{link['clicks']} of {link['click_limit']}"
    expires_ms = link.get("expires_ms")
    if expires_ms is None:
        return told
    ends = datetime.fromtimestamp(expires_ms / 1_000, UTC)
    return told | {"expires": ends.isoformat(timespec="seconds").replace("+00:00", "Z")}


def link_path(link_id: str) -> str:
    """Return where the registry answers for one link."""
    return f"/v1/links/{quote(link_id, safe='')}"


async def all_pages(
    client: Client, path: str, field: str, query: Iterable[tuple[str, str]] = ()
) -> list[dict[str, Any]]:
    """Return the whole list behind *path*, page by page."""
    found: list[dict[str, Any]] = []
    asked = [*query, ("limit", str(PAGE))]
    cursor: list[tuple[str, str]] = []
    while True:
        page = await client.get(f"{path}?{urlencode([*asked, *cursor])}")
        found += page[field]
        if not page["next"]:
            return found
        cursor = [("cursor", page["next"])]


def log_rows(changes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each field that was changed."""
    for change in changes:
        head = {"time": moment(change["at_ms"]), "version": change["version"]}
        for field in change["fields"]:
            yield {**head, "action": change["action"], "who": change["who"], **field}


def _ask(here: Surroundings, question: Callable[[Client], Awaitable[Any]]) -> tuple[Place, Any]:
    place = find(here, Central.LINKS)
    return place, asyncio.run(ask(place, question))


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        limited = any(row.get("click_limit") is not None for row in rows)
        columns = {key: title for key, title in COLUMNS.items() if limited or key != "counted"}
        emit_table(columns, [shown(row) for row in rows], "no links yet")


@click.group(epilog=example("milepost links create /sale https://example.com/spring"))
def links() -> None:
    """Create, show, change and remove links."""


links.add_command(explain)


@links.command(
    epilog=example("milepost links create /sale https://example.com/spring --status 307")
)
@click.argument("words", nargs=-1, required=True, metavar="[PATH] DESTINATION")
@click.option("--host", help="Only on this host name; otherwise on every one.")
@behaviour_options
@json_option
@fleet_option
@click.pass_obj
def create(
    here: Surroundings,
    /,
    *,
    words: tuple[str, ...],
    host: str | None,
    as_json: bool,
    **behaviour: Any,
) -> None:
    """Make PATH lead to DESTINATION.

    Without a PATH the registry draws one that is short and free.  A PATH that ends
    in /* stands for every path that begins so; where DESTINATION ends in * too, the
    rest of a visit's path goes there.
    """
    if len(words) > PATH_AND_DESTINATION:
        msg = f"want a path and a destination, or only a destination; got {len(words)} words"
        raise click.UsageError(msg)
    path = words[0] if len(words) == PATH_AND_DESTINATION else None
    body = changes(path=path, destination=words[-1], host=host, **behaviour)

    async def question(client: Client) -> Any:
        return await client.post("/v1/links", body)

    place, answer = _ask(here, question)
    if as_json:
        emit_json([answer["link"]])
    else:
        link = answer["link"]
        click.echo(f"{short_url(place, link)} leads to {link['destination']} (id {link['id']})")


@links.command("ls", epilog=example("milepost links ls --tag spring --to example.com --json"))
@filter_options
@json_option
@fleet_option
@click.pass_obj
def list_links(here: Surroundings, /, *, as_json: bool, **given: Any) -> None:
    """Show all links, or those that all of the options hold for."""
    query = filters(**given)

    async def question(client: Client) -> Any:
        return await all_pages(client, "/v1/links", "links", query)

    _place, found = _ask(here, question)
    _show(found, as_json=as_json)


@links.command(epilog=example("milepost links log 01JD8X"))
@click.argument("link_id", metavar="ID")
@json_option
@fleet_option
@click.pass_obj
def log(here: Surroundings, *, link_id: str, as_json: bool) -> None:
    """Show who did what to a link and when, also to one that is removed."""

    async def question(client: Client) -> Any:
        return await all_pages(client, f"{link_path(link_id)}/changes", "changes")

    _place, found = _ask(here, question)
    if as_json:
        emit_json(found)
    else:
        emit_table(LOG_COLUMNS, list(log_rows(found)), "nothing was done to it yet")


@links.command(epilog=example("milepost links get 01JD8X"))
@click.argument("link_id", metavar="ID")
@json_option
@fleet_option
@click.pass_obj
def get(here: Surroundings, *, link_id: str, as_json: bool) -> None:
    """Show one link."""

    async def question(client: Client) -> Any:
        return await client.get(link_path(link_id))

    _place, answer = _ask(here, question)
    _show([answer["link"]], as_json=as_json)


@links.command(
    epilog=example("milepost links update 01JD8X --destination https://example.com/summer")
)
@click.argument("link_id", metavar="ID")
@click.option("--path", help="The new path.")
@click.option("--destination", help="The new destination.")
@click.option("--host", help="The new host name; * for every one.")
@behaviour_options
@click.option("--enabled/--disabled", default=None, help="Whether it redirects at all.")
@if_match_option
@json_option
@fleet_option
@click.pass_obj
def update(
    here: Surroundings,
    /,
    *,
    link_id: str,
    path: str | None,
    destination: str | None,
    host: str | None,
    enabled: bool | None,
    if_match_version: int | None,
    as_json: bool,
    **behaviour: Any,
) -> None:
    """Change what is given, and leave the rest."""
    body = changes(path=path, destination=destination, host=host, enabled=enabled, **behaviour)
    if not body:
        msg = "nothing to change: give at least one option, such as --destination"
        raise click.UsageError(msg)

    async def question(client: Client) -> Any:
        headers = if_match(if_match_version)
        return await client.call("PATCH", link_path(link_id), body=body, headers=headers)

    _place, answer = _ask(here, question)
    _show([answer["link"]], as_json=as_json)


@links.command(epilog=example("milepost links rm 01JD8X"))
@click.argument("link_id", metavar="ID")
@if_match_option
@fleet_option
@click.pass_obj
def rm(here: Surroundings, *, link_id: str, if_match_version: int | None) -> None:
    """Remove a link; every edge forgets it within moments."""

    async def question(client: Client) -> Any:
        return await client.call("DELETE", link_path(link_id), headers=if_match(if_match_version))

    _ask(here, question)
    click.echo(f"removed {link_id}")
