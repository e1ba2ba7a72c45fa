"""`milepost links explain`: which rule of a link a visit would hit, and why.

Also how rules are written on a command line.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click
import orjson

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client
from milepost.errors import NotFoundError
from milepost.links import ANY_HOST, WILDCARD

PAGE = 500
COLUMNS = {"rule": "RULE", "matched": "HOLDS", "why": "WHY"}
SHARES = {"name": "VARIANT", "share": "SHARE", "destination": "DESTINATION"}

Ask = Callable[[Client], Awaitable[Any]]


def rules(text: str) -> Any:
    """Read rules as people give them: JSON, or the name of a file with it."""
    try:
        return orjson.loads(text if text.lstrip().startswith("[") else Path(text).read_bytes())
    except orjson.JSONDecodeError as error:
        msg = f"want a list of rules as JSON, or a file with one: {error}"
        raise click.BadParameter(msg) from error
    except (OSError, ValueError) as error:
        msg = f"want a list of rules as JSON, or a file with one: {text[:100]!r} cannot be read"
        raise click.BadParameter(msg) from error


rules_option = click.option(
    "--rules",
    type=rules,
    metavar="FILE|JSON",
    help="Where other visits lead: a list of rules as JSON, or a file with it; [] for none.",
)


def nearest(links: list[dict[str, Any]], address: str) -> tuple[dict[str, Any], str, str]:
    """Return the link that a visit to *address* means, with its path and query, or refuse."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    full = parts.netloc.rpartition("@")[2].lower()
    path = parts.path or "/"
    for host in dict.fromkeys((full, (parts.hostname or "").rstrip("."), ANY_HOST)):
        fits = [link for link in links if link["host"] == host and _fits(link["path"], path)]
        if fits:
            best = max(fits, key=lambda link: (not _is_pattern(link), len(link["path"])))
            return best, path, parts.query
    msg = f"no link is at {address}"
    raise NotFoundError(msg)


def _is_pattern(link: dict[str, Any]) -> bool:
    return str(link["path"]).endswith(WILDCARD)


def _fits(own: str, path: str) -> bool:
    return path.startswith(own[:-1]) if own.endswith(WILDCARD) else path == own


async def _links(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params = {"limit": str(PAGE)}
    while True:
        page = await client.get("/v1/links", params)
        found += page["links"]
        if not page["next"]:
            return found
        params["cursor"] = page["next"]


def _question(wanted: str, given: dict[str, str]) -> Ask:
    async def question(client: Client) -> Any:
        link_id, more = wanted, given
        if "/" in wanted:  # no id has one
            link, path, query = nearest(await _links(client), wanted)
            more = {"path": path, **({"query": query} if query else {}), **given}
            link_id = str(link["id"])
        return await client.get(f"/v1/links/{quote(link_id, safe='')}/explain", more)

    return question


@click.command(
    epilog=example(
        "milepost links explain 01JD8X --country DE --language 'de-AT, en;q=0.5'",
        "milepost links explain http://127.0.0.1:8080/sale --region dfw",
    )
)
@click.argument("wanted", metavar="ID|URL")
@click.option("--path", help="Of the visit, for a pattern.  [default: the link's, or the URL's]")
@click.option("--query", help="What stands behind the ?.")
@click.option("--country", help="Two letters.")
@click.option("--region", help="The edge's, such as dfw.")
@click.option("--language", help="The header Accept-Language.")
@click.option("--user-agent", help="The header User-Agent.")
@click.option("--time", help="RFC 3339, or milliseconds since 1970.  [default: now]")
@click.option("--visitor", help="A visitor hash, as hits show it; it draws the variant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@fleet_option
@click.pass_obj
def explain(here: Surroundings, /, *, wanted: str, as_json: bool, **given: str | None) -> None:
    """Tell which rule of a link a visit would hit, and why.

    What is left out of the visit counts as not known.
    """
    visit = {name: value for name, value in given.items() if value is not None}
    place = find(here, Central.LINKS)
    told = asyncio.run(ask(place, _question(wanted, visit)))["explanation"]
    if as_json:
        emit_json([told])
        return
    emit_table(COLUMNS, told["rules"], "the link has no rules")
    if told.get("variants"):
        emit_table(SHARES, told["variants"], "")
    status = f"{told['status']}: {told['why']}"
    variant = f", variant {told['variant']}" if told["variant"] else ""
    click.echo(f"{status}{variant}")
    if told["destination"]:
        click.echo(f"leads to {told['destination']}")
