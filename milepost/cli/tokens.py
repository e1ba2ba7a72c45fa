"""`milepost tokens`: further tokens, kept by the aggregator or by the link registry."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, ask, find
from milepost.client import Client
from milepost.clock import SystemClock

COLUMNS = {
    "name": "NAME",
    "state": "STATE",
    "scopes": "SCOPES",
    "hosts": "HOSTS",
    "tags": "TAGS",
    "rate": "A MINUTE",
    "expires": "EXPIRES",
    "last_used": "LAST USED",
    "created_by": "MADE WITH",
}
SERVICES = {"aggregator": Central.AGGREGATOR, "links": Central.LINKS}
UNIT_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
EVERY = "all"

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
service_option = click.option(
    "--service",
    type=click.Choice(list(SERVICES)),
    default="aggregator",
    show_default=True,
    help="Who keeps the token, and takes it.",
)


def seconds_in(text: str) -> int:
    """Return how many seconds `90m`, `12h`, `30d` or `4w` are, or refuse."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text)
    if found is None:
        msg = f"--expires: want a number and m, h, d or w, such as 30d; got {text!r}"
        raise click.UsageError(msg)
    return int(found[1]) * UNIT_SECONDS[found[2]]


def shown(token: dict[str, Any]) -> dict[str, Any]:
    """Return *token* as a table shows it."""
    lists = {name: ", ".join(token[name]) or EVERY for name in ("scopes", "hosts", "tags")}
    expires = moment(token["expires_ms"]) if token["expires_ms"] is not None else None
    return token | lists | {"expires": expires}


def _ask(here: Surroundings, service: str, question: Callable[[Client], Awaitable[Any]]) -> Any:
    return asyncio.run(ask(find(here, SERVICES[service]), question))


@click.group(epilog=example("milepost tokens create reports --scope hits:read --expires 30d"))
def tokens() -> None:
    """Make, list and revoke tokens that may do less than the operator's."""


@tokens.command(
    epilog=example(
        "milepost tokens create reports --scope hits:read --host go.example --expires 30d",
        "milepost tokens create editor --service links --scope links:read --scope links:write \\",
        "    --tag spring",
    )
)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="May do this; repeatable.")
@click.option("--host", "hosts", multiple=True, help="Sees only this host; repeatable.")
@click.option("--tag", "tags", multiple=True, help="Sees only links with this tag; repeatable.")
@click.option("--expires", metavar="TIME", help="Ends after so long: 90m, 12h, 30d or 4w.")
@click.option("--rate", type=click.IntRange(min=1), help="Calls a minute; 600 unless given.")
@service_option
@json_option
@fleet_option
@click.pass_obj
def create(
    here: Surroundings,
    /,
    *,
    service: str,
    expires: str | None,
    rate: int | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Make a token with NAME and print it: it is not shown again.

    It may do no more than the token that this command uses.
    """
    body = {name: list(each) if isinstance(each, tuple) else each for name, each in lists.items()}
    if expires is not None:
        body["expires_ms"] = SystemClock().now() + 1000 * seconds_in(expires)
    if rate is not None:
        body["rate"] = rate
    answer = _ask(here, service, lambda client: client.post("/v1/tokens", body))
    if as_json:
        emit_json([answer["token"] | {"secret": answer["secret"]}])
        return
    click.echo(answer["secret"])
    click.echo("keep it: it is shown this once only", err=True)


@tokens.command("list", epilog=example("milepost tokens list --service links"))
@service_option
@json_option
@fleet_option
@click.pass_obj
def list_tokens(here: Surroundings, *, service: str, as_json: bool) -> None:
    """Show the tokens that one service keeps; those of the tokens file are not among them."""
    found = _ask(here, service, lambda client: client.get("/v1/tokens"))["tokens"]
    if as_json:
        emit_json(found)
    else:
        emit_table(COLUMNS, [shown(token) for token in found], "no tokens are kept here")


@tokens.command(epilog=example("milepost tokens revoke reports"))
@click.argument("name")
@service_option
@json_option
@fleet_option
@click.pass_obj
def revoke(here: Surroundings, *, name: str, service: str, as_json: bool) -> None:
    """End the token with NAME, from the next call on."""
    path = f"/v1/tokens/{quote(name, safe='')}"
    _ask(here, service, lambda client: client.call("DELETE", path))
    if as_json:
        emit_json([{"name": name, "state": "revoked"}])
    else:
        click.echo(f"{name} is revoked")
