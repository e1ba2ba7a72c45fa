"""`milepost grants`: links with an owner and an end."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.links import short_url
from milepost.cli.output import cell, emit_json, emit_table, moment
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client

PAGE = 100
COLUMNS = {
    "id": "ID",
    "owner": "OWNER",
    "state": "STATE",
    "exclusive": "EXCLUSIVE",
    "ends": "ENDS",
    "url": "LINK",
    "cleanups": "CLEANUPS",
    "news": "NEWS",
}
STATES = click.Choice(["active", "cleaning", "abandoned"])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def grant_path(grant_id: str, action: str = "") -> str:
    """Return where the registry answers for one grant."""
    return f"/v1/grants/{quote(grant_id, safe='')}{action}"


def shown(place: Place, grant: dict[str, Any]) -> dict[str, Any]:
    """Return *grant* as a table shows it."""
    done, all_of_them = len(grant["cleaned"]), len(grant["cleanup_ids"])
    news = [f"{each['id']}: {each['reason']} ({each['failures']}x)" for each in grant["failed"]]
    if grant.get("abandoned_ms") is not None:
        when = moment(grant["abandoned_ms"])
        news.insert(0, f"abandoned by {grant['abandoned_by']} at {when}")
    return grant | {
        "ends": moment(grant["ends_ms"]),
        "url": short_url(place, grant) if grant["path"] else None,
        "cleanups": f"{done} of {all_of_them} done" if grant["ended_ms"] else all_of_them,
        "news": "; ".join(news) or None,
    }


async def all_grants(client: Client, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return every grant that *params* ask for, page by page."""
    found: list[dict[str, Any]] = []
    params = params | {"limit": str(PAGE)}
    while True:
        page = await client.get("/v1/grants", params)
        found += page["grants"]
        if not page["next"]:
            return found
        params["cursor"] = page["next"]


def _ask(here: Surroundings, question: Callable[[Client], Awaitable[Any]]) -> tuple[Place, Any]:
    place = find(here, Central.LINKS)
    return place, asyncio.run(ask(place, question))


def _show(place: Place, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        emit_table(COLUMNS, [shown(place, row) for row in rows], "no such grants")


def _metadata(text: str | None) -> Any:
    """Read a JSON object, typed or in the file that stands behind an @."""
    if text is None:
        return None
    content = Path(text[1:]).read_text() if text.startswith("@") else text
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        msg = f"--metadata: no JSON: {error}"
        raise click.UsageError(msg) from error


@click.group(
    epilog=example("milepost grants create ada --destination https://lab.example/7 --minutes 90")
)
def grants() -> None:
    """Links with an owner and an end, cleaned up after."""


@grants.command(
    epilog=example(
        "milepost grants create ada --destination https://lab.example/7 --minutes 90 \\",
        "    --exclusive --cleanup vm-17 --cleanup disk-17",
    )
)
@click.argument("owner")
@click.option("--minutes", type=int, required=True, help="How long, 1 to 43200 (30 days).")
@click.option("--destination", help="Where a link that is made for the grant leads.")
@click.option("--slug", help="Path of that link; without --destination of one that is there.")
@click.option("--link", "link_id", metavar="ID", help="A link that is there.")
@click.option("--host", help="Host name of the link; otherwise every one.")
@click.option("--exclusive", is_flag=True, help="Refuse if the owner has another exclusive one.")
@click.option(
    "--cleanup", "cleanup_ids", multiple=True, metavar="ID", help="Deleted at the end; repeatable."
)
@click.option("--key", help="The same command with the same KEY makes one grant, for a day.")
@click.option("--metadata", metavar="JSON", help="A JSON object to keep with it, or @FILE.")
@json_option
@fleet_option
@click.pass_obj
def create(
    here: Surroundings,
    /,
    *,
    owner: str,
    minutes: int,
    link_id: str | None,
    cleanup_ids: tuple[str, ...],
    metadata: str | None,
    key: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Give OWNER a link for some minutes."""
    wish = fields | {"link": link_id, "metadata": _metadata(metadata)}
    body = {name: value for name, value in wish.items() if value is not None}
    body |= {"owner": owner, "duration_minutes": minutes, "cleanup_ids": list(cleanup_ids)}

    async def question(client: Client) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return await client.call("POST", "/v1/grants", body=body, headers=headers)

    place, answer = _ask(here, question)
    grant = answer["grant"]
    if as_json:
        emit_json([grant])
    else:
        click.echo(
            f"{short_url(place, grant)} leads to {grant['destination']} "
            f"until {moment(grant['ends_ms'])} (grant {grant['id']})"
        )


@grants.command("ls", epilog=example("milepost grants ls --failed"))
@click.option("--owner", help="Only those of this owner.")
@click.option(
    "--state",
    type=STATES,
    help="Only those in this state; otherwise the active ones, and those being cleaned up after.",
)
@click.option(
    "--failed",
    is_flag=True,
    help="Only those of which a cleanup has failed; exit status 1 when there are any.",
)
@json_option
@fleet_option
@click.pass_obj
def list_grants(
    here: Surroundings, *, owner: str | None, state: str | None, failed: bool, as_json: bool
) -> None:
    """Show all grants; those that are cleaned up after have gone."""
    wanted = {"owner": owner, "state": "cleaning" if failed else state}
    params = {name: value for name, value in wanted.items() if value is not None}
    place, found = _ask(here, lambda client: all_grants(client, params))
    rows = [grant for grant in found if grant["failed"] or not failed]
    _show(place, rows, as_json=as_json)
    if failed and rows:
        sys.exit(1)


@grants.command(epilog=example("milepost grants get 01jd8xk2mv"))
@click.argument("grant_id", metavar="ID")
@json_option
@fleet_option
@click.pass_obj
def get(here: Surroundings, *, grant_id: str, as_json: bool) -> None:
    """Show one grant."""

    async def question(client: Client) -> Any:
        return await client.get(grant_path(grant_id))

    place, answer = _ask(here, question)
    _show(place, [answer["grant"]], as_json=as_json)


@grants.command(epilog=example("milepost grants extend 01jd8xk2mv 30"))
@click.argument("grant_id", metavar="ID")
@click.argument("minutes", type=int)
@json_option
@fleet_option
@click.pass_obj
def extend(here: Surroundings, *, grant_id: str, minutes: int, as_json: bool) -> None:
    """Put the end of a grant off by MINUTES."""

    async def question(client: Client) -> Any:
        return await client.post(grant_path(grant_id, "/extend"), {"minutes": minutes})

    _place, answer = _ask(here, question)
    if as_json:
        emit_json([answer["grant"]])
    else:
        click.echo(f"{grant_id} ends {moment(answer['grant']['ends_ms'])}")


@grants.command(epilog=example("milepost grants end 01jd8xk2mv"))
@click.argument("grant_id", metavar="ID")
@json_option
@fleet_option
@click.pass_obj
def end(here: Surroundings, *, grant_id: str, as_json: bool) -> None:
    """End a grant now: its link is withdrawn at once, the clean-up begins within moments."""

    async def question(client: Client) -> Any:
        return await client.post(grant_path(grant_id, "/end"), {})

    _place, answer = _ask(here, question)
    grant = answer["grant"]
    if as_json:
        emit_json([grant])
    else:
        click.echo(f"{grant_id} has ended; {len(grant['cleanup_ids'])} cleanups")


@grants.command(epilog=example("milepost grants abandon 01jd8xk2mv --yes"))
@click.argument("grant_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@fleet_option
@click.pass_obj
def abandon(here: Surroundings, *, grant_id: str, yes: bool, as_json: bool) -> None:
    """Try no more to clean up after a grant that has ended.

    Shows first what was not deleted, which then has to be by hand, and asks. The grant counts
    no more and stays listed under --state abandoned for MILEPOST_LINKS_HISTORY_DAYS.
    """

    async def look(client: Client) -> Any:
        return await client.get(grant_path(grant_id))

    async def question(client: Client) -> Any:
        return await client.post(grant_path(grant_id, "/abandon"), {})

    if not yes:
        _place, answer = _ask(here, look)
        left = sorted(set(answer["grant"]["cleanup_ids"]) - set(answer["grant"]["cleaned"]))
        click.echo(cell(f"{grant_id}: not cleaned up: {', '.join(left)}"), err=True)
        click.confirm("Try this no more?", abort=True, err=True)
    _place, answer = _ask(here, question)
    if as_json:
        emit_json([answer["grant"]])
    else:
        click.echo(
            f"{grant_id} is abandoned; {len(answer['grant']['failed'])} cleanups are not done"
        )
