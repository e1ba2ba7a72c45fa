"""`milepost links`: managed redirects."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.links_explain import explain, rules_option
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client
from milepost.links import ANY_HOST, STATUSES

PAGE = 500
COLUMNS = {
    "id": "ID",
    "host": "HOST",
    "path": "PATH",
    "status": "STATUS",
    "enabled": "ENABLED",
    "pass_query": "QUERY",
    "expires": "EXPIRES",
    "destination": "DESTINATION",
}
NEVER = "never"
STATUS_CHOICE = click.Choice([str(status) for status in STATUSES])

Command = TypeVar("Command", bound=Callable[..., Any])


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


def behaviour_options(command: Command) -> Command:
    """Add the options that a link is made and changed with alike."""
    for option in (
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


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def short_url(place: Place, link: dict[str, Any]) -> str:
    """Return where visitors find *link*, as far as that is known here."""
    if link["host"] != ANY_HOST:
        return f"{link['host']}{link['path']}"
    if place.fleet is not None and place.fleet.regions:
        return f"{place.fleet.regions[0].url}{link['path']}"
    return str(link["path"])


def changes(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given, as the registry wants them."""
    given = {name: value for name, value in fields.items() if value is not None}
    if "status" in given:
        given["status"] = int(given["status"])
    if "expires" in given:
        expires = given.pop("expires")
        given["expires_ms"] = None if expires == NEVER else expires
    return given


def shown(link: dict[str, Any]) -> dict[str, Any]:
    """Return *link* as a table shows it."""
    expires_ms = link.get("expires_ms")
    if expires_ms is None:
        return link
    moment = datetime.fromtimestamp(expires_ms / 1_000, UTC)
    return link | {"expires": moment.isoformat(timespec="seconds").replace("+00:00", "Z")}


def link_path(link_id: str) -> str:
    """Return where the registry answers for one link."""
    return f"/v1/links/{quote(link_id, safe='')}"


async def all_links(client: Client) -> list[dict[str, Any]]:
    """Return every link, page by page."""
    found: list[dict[str, Any]] = []
    params = {"limit": str(PAGE)}
    while True:
        page = await client.get("/v1/links", params)
        found += page["links"]
        if not page["next"]:
            return found
        params["cursor"] = page["next"]


def _ask(here: Surroundings, question: Callable[[Client], Awaitable[Any]]) -> tuple[Place, Any]:
    place = find(here, Central.LINKS)
    return place, asyncio.run(ask(place, question))


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        emit_table(COLUMNS, [shown(row) for row in rows], "no links yet")


@click.group(epilog=example("milepost links create /sale https://example.com/spring"))
def links() -> None:
    """Create, show, change and remove links."""


links.add_command(explain)


@links.command(
    epilog=example("milepost links create /sale https://example.com/spring --status 307")
)
@click.argument("path")
@click.argument("destination")
@click.option("--host", help="Only on this host name; otherwise on every one.")
@behaviour_options
@json_option
@fleet_option
@click.pass_obj
def create(
    here: Surroundings,
    /,
    *,
    path: str,
    destination: str,
    host: str | None,
    as_json: bool,
    **behaviour: Any,
) -> None:
    """Make PATH lead to DESTINATION.

    A PATH that ends in /* stands for every path that begins so; where DESTINATION
    ends in * too, the rest of a visit's path goes there.
    """
    body = changes(path=path, destination=destination, host=host, **behaviour)

    async def question(client: Client) -> Any:
        return await client.post("/v1/links", body)

    place, answer = _ask(here, question)
    if as_json:
        emit_json([answer["link"]])
    else:
        link = answer["link"]
        click.echo(f"{short_url(place, link)} leads to {link['destination']} (id {link['id']})")


@links.command("ls", epilog=example("milepost links ls --json"))
@json_option
@fleet_option
@click.pass_obj
def list_links(here: Surroundings, *, as_json: bool) -> None:
    """Show all links."""
    _place, found = _ask(here, all_links)
    _show(found, as_json=as_json)


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
    as_json: bool,
    **behaviour: Any,
) -> None:
    """Change what is given, and leave the rest."""
    body = changes(path=path, destination=destination, host=host, enabled=enabled, **behaviour)
    if not body:
        msg = "nothing to change: give at least one option, such as --destination"
        raise click.UsageError(msg)

    async def question(client: Client) -> Any:
        return await client.call("PATCH", link_path(link_id), body=body)

    _place, answer = _ask(here, question)
    _show([answer["link"]], as_json=as_json)


@links.command(epilog=example("milepost links rm 01JD8X"))
@click.argument("link_id", metavar="ID")
@fleet_option
@click.pass_obj
def rm(here: Surroundings, *, link_id: str) -> None:
    """Remove a link; every edge forgets it within moments."""

    async def question(client: Client) -> Any:
        return await client.call("DELETE", link_path(link_id))

    _ask(here, question)
    click.echo(f"removed {link_id}")
