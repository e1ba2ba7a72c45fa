"""`milepost sources`: how far the aggregator is behind each edge, and writing off what is lost."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client

STREAM_ID = re.compile("[0-9a-fA-F]{32}")
LAG_RECORDS_MAX = 10_000  # some seconds of a busy region
BAD_NEWS = 1
KNOWN, GONE, ABANDONED = "known", "gone", "abandoned"
COLUMNS = {
    "region": "REGION",
    "url": "URL",
    "lag_records": "RECORDS BEHIND",
    "lag_seconds": "SECONDS BEHIND",
    "last_success": "LAST ANSWER",
    "news": "NEWS",
}


def news(source: dict[str, Any]) -> str:
    """Return what is wrong with *source*, or nothing."""
    if source.get("state") == ABANDONED:
        return ""  # by hand, so somebody knows
    found = [str(source["last_error"])] if source.get("last_error") else []
    if source.get("state") == GONE:
        if source.get("swept"):
            return ""  # what it had was read from its replicas
        found.insert(0, GONE)
    if not found and not source.get("last_success"):
        found.append("has not answered yet")
    if source.get("lag_records", 0) > LAG_RECORDS_MAX:
        found.append("far behind")
    streams = source.get("streams", ())
    written_off = {f"{each['stream']}.db" for each in streams if each.get("abandoned")}
    found += [
        f"cannot read {name}" for name in source.get("unreadable", ()) if name not in written_off
    ]
    faulty = (each for each in streams if each.get("fault") and not each.get("abandoned"))
    found += [f"stream {stream['stream']}: {stream['fault']}" for stream in faulty]
    return "; ".join(found)


def resting(source: dict[str, Any]) -> str | None:
    """Return what has become of a source that is not pulled any more, or nothing."""
    state = source.get("state", KNOWN)
    return None if state == KNOWN else str(state)


def worst_first(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *found* with what needs a look at the top."""
    return sorted(found, key=lambda one: (not news(one), -one.get("lag_records", 0)))


def sealed_lines(answer: dict[str, Any]) -> list[str]:
    """Say which batches are not counted among the hits, if there are any."""
    meanings = {
        "waiting": "wait sealed for their key",
        "set_aside": "set aside, damaged or unreadable: `milepost set-aside ls` names them",
    }
    return [
        f"{answer[name]['batches']} batches ({answer[name]['records']} records) {meaning}"
        for name, meaning in meanings.items()
        if any(answer.get(name, {}).values())
    ]


def replica_lines(answer: dict[str, Any]) -> list[str]:
    """Say what of lost machines cannot be read, if there is any, and why."""
    replicas = answer.get("replicas", {})
    found = [f"replica {each['replica']}: {each['reason']}" for each in replicas.get("failed", ())]
    error = replicas.get("last_error")
    return [f"the object store is not swept: {error}", *found] if error else found


def stream_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Say which sources are gone, and which streams have forked, vanished or are written off."""
    lines = []
    for source in found:
        if source.get("state") == GONE and not source.get("swept"):
            lines.append(
                f"{source['url']} may still hold visits, and holds record keys back; if it never "
                f"comes back, `milepost sources abandon {source['url']}` writes it off"
            )
        for stream in source.get("streams", ()):
            name = f"stream {stream['stream']} of {source.get('region', source['url'])}"
            if stream.get("forked"):
                lines.append(f"{name}: its file has another history since {stream['forked']}")
            if stream.get("lag_records") and not stream.get("present", True):
                lines.append(
                    f"{name}: no machine has the {stream['lag_records']} records any more that are "
                    "missing; if no replica brings them, "
                    f"`milepost sources abandon {stream['stream']}` writes them off"
                )
            if stream.get("abandoned"):
                lines.append(
                    f"{name}: {stream['written_off']} records written off at {stream['abandoned']}"
                )
    return lines


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group(invoke_without_command=True, epilog=example("milepost sources --json"))
@json_option
@fleet_option
@click.pass_context
def sources(ctx: click.Context, *, as_json: bool) -> None:
    """Show every source and how far behind it the aggregator is, the worst first.

    Exits with 1 when one of them fails, cannot be read, is far behind, or is gone with
    what it may still hold.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_sources, as_json=as_json)


@sources.command("ls", epilog=example("milepost sources ls --json"))
@json_option
@fleet_option
@click.pass_context
def list_sources(ctx: click.Context, *, as_json: bool) -> None:
    """Show every source and how far behind it the aggregator is, the worst first.

    Exits with 1 when one of them fails, cannot be read, is far behind, or is gone with
    what it may still hold.
    """
    here: Surroundings = ctx.obj

    async def question(client: Client) -> Any:
        return await client.get("/v1/sources")

    answer = asyncio.run(ask(find(here, Central.AGGREGATOR, holder="read"), question))
    found = worst_first(answer["sources"])
    if as_json:
        emit_json(found)
    else:
        emit_table(
            COLUMNS, [{**one, "news": news(one) or resting(one)} for one in found], "no sources"
        )
        for line in [*stream_lines(found), *sealed_lines(answer), *replica_lines(answer)]:
            click.echo(cell(line))
    if any(map(news, found)):
        ctx.exit(BAD_NEWS)


@sources.command(
    epilog=example(
        "milepost sources abandon 3f0c…", "milepost sources abandon http://e1.internal:8081 --yes"
    )
)
@click.argument("what", metavar="STREAM|SOURCE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@fleet_option
@click.pass_obj
def abandon(here: Surroundings, *, what: str, yes: bool) -> None:
    """Write off what was announced of a stream, or of all of a source's, and will never come.

    Shows first how many records that are, and asks. STREAM is an id of 32 hex digits, SOURCE
    the address of a source that does not answer any more, and will not be pulled again. What
    comes of a stream after all is counted.
    """
    place = find(here, Central.AGGREGATOR)
    target = {"stream": what} if STREAM_ID.fullmatch(what) else {"source": what}
    prospect = asyncio.run(ask(place, lambda client: client.get("/v1/sources/abandon", target)))
    for line in prospect_lines(what, prospect):
        click.echo(cell(line))
    if not yes:
        click.confirm("Write this off?", abort=True)
    done = asyncio.run(ask(place, lambda client: client.post("/v1/sources/abandon", target)))
    click.echo(f"{done['records']} records of {len(done['streams'])} streams are written off")


def prospect_lines(what: str, prospect: dict[str, Any]) -> list[str]:
    """Say what abandoning would write off."""
    count = f"{prospect['records']} records in {len(prospect['streams'])} streams"
    return [
        f"{what}: {count} were announced and are not counted",
        *(
            f"  stream {each['stream']}: {each['records']} records"
            + (f"; {each['fault']}" if each.get("fault") else "")
            + ("; written off already" if each["abandoned"] else "")
            for each in prospect["streams"]
        ),
        *(f"  its source cannot read {name}" for name in prospect["unreadable"]),
    ]
