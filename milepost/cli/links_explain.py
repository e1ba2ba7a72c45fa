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


def visited(address: str) -> tuple[str, str, str]:
    """Return the host, path and query of a visit to *address*."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return parts.netloc.rpartition("@")[2], parts.path or "/", parts.query


def _question(wanted: str, given: dict[str, str]) -> Ask:
    async def question(client: Client) -> Any:
        link_id, more = wanted, given
        if "/" in wanted:  # no id has one
            host, path, query = visited(wanted)
            try:
                found = await client.get("/v1/links/at", {"host": host, "path": path})
            except NotFoundError as error:
                msg = f"no link answers a visit to {wanted}"
                raise NotFoundError(msg) from error
            more = {"path": path, **({"query": query} if query else {}), **given}
            link_id = str(found["link"]["id"])
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
