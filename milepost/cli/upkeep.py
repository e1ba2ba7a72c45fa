"""`milepost retention` and `milepost reclassify`: upkeep of the hits, done now."""

import asyncio
from typing import Any

import click

from milepost.cli.erase import progress_bar
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client

CALL_SECONDS = 180.0
AGES = {"kind": "KIND", "before": "BEFORE", "hits": "HITS"}
MOVED = {"link": "LINK", "from": "FROM", "to": "TO", "hits": "HITS", "clicks": "CLICKS"}

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would change.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.command(epilog=example("milepost retention --dry-run", "milepost retention --yes"))
@yes_option
@dry_run_option
@json_option
@fleet_option
@click.pass_obj
def retention(here: Surroundings, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the hits that are too old, now rather than within the hour.

    How old that is say the settings of the aggregator, by kind. What was counted stays.
    """
    place = find(here, Central.AGGREGATOR)
    prospect = asyncio.run(_post(place, "/v1/retention", dry_run=True))["kinds"]
    if dry_run or not any(each["hits"] for each in prospect):
        _show(AGES, prospect, "all hits are kept for ever", as_json=as_json)
        return
    if not as_json:
        emit_table(AGES, prospect, "")
    if not yes:
        click.confirm("These hits go for good. Remove them?", abort=True, err=as_json)
    removed = asyncio.run(_remove(place, prospect, quiet=as_json))
    kinds = [{**each, "hits": removed.get(each["kind"], 0)} for each in prospect]
    if as_json:
        emit_json(kinds)
        return
    click.echo(f"{sum(removed.values())} hits removed")


@click.command(epilog=example("milepost reclassify --dry-run", "milepost reclassify --yes"))
@yes_option
@dry_run_option
@json_option
@fleet_option
@click.pass_obj
def reclassify(here: Surroundings, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take stored user agents for what the lists of this version say.

    Shows first how many hits and clicks of which links would be of another class, and asks.
    It can be cut off at any moment and typed again.
    """
    place = find(here, Central.AGGREGATOR)
    prospect = asyncio.run(_post(place, "/v1/reclassify", dry_run=True))
    if dry_run and as_json:
        emit_json([prospect])
        return
    if not as_json:
        for line in prospect_lines(prospect):
            click.echo(line)
        if prospect["links"]:
            emit_table(MOVED, prospect["links"], "")
    if dry_run or not prospect["agents"]:
        return
    if not yes and prospect["changed"]:
        click.confirm("Count them like that from now on?", abort=True, err=as_json)
    done = asyncio.run(_reclassify(place, prospect["agents"], quiet=as_json))
    if as_json:
        emit_json([done])
        return
    click.echo(cell(f"{done['agents']} user agents described anew, {done['changed']} changed"))


def prospect_lines(prospect: dict[str, Any]) -> list[str]:
    """Say what reclassifying would change."""
    if not prospect["agents"]:
        return ["every user agent is described by the lists of this version"]
    agents, changed = prospect["agents"], prospect["changed"]
    return [
        f"{agents} user agents were described by older lists, {changed} of them differently",
        f"{prospect['hits']} hits, among them {prospect['clicks']} clicks, change their class",
    ]


def _show(columns: dict[str, str], rows: Any, nothing: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        emit_table(columns, rows, nothing)


async def _post(place: Place, path: str, *, dry_run: bool) -> Any:
    async def question(client: Client) -> Any:
        return await client.post(path, {"dry_run": dry_run}, wait_seconds=CALL_SECONDS)

    return await ask(place, question)


async def _remove(place: Place, prospect: Any, *, quiet: bool) -> dict[str, int]:
    removed: dict[str, int] = {}
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("removing", total=sum(each["hits"] for each in prospect))
        while True:
            answer = await _post(place, "/v1/retention", dry_run=False)
            for each in answer["kinds"]:
                removed[each["kind"]] = removed.get(each["kind"], 0) + each["hits"]
            progress.update(task, completed=sum(removed.values()))
            if not answer["more"]:
                return removed


async def _reclassify(place: Place, agents: int, *, quiet: bool) -> dict[str, int]:
    done = {"agents": 0, "changed": 0, "hits": 0}
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("describing", total=agents)
        while True:
            answer = await _post(place, "/v1/reclassify", dry_run=False)
            done = {name: count + answer[name] for name, count in done.items()}
            progress.update(task, completed=done["agents"])
            if not answer["left"]:
                return done
