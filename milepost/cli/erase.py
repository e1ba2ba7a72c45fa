"""`milepost erase`: removing a visitor, a link or a host from what was counted, for good."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import cell, emit_json, emit_table
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client

LOOK_SECONDS = 90.0  # hits are counted first
POLL_SECONDS = 0.5
KINDS = ("visitor", "link", "host")
COLUMNS = {
    "what": "WHAT",
    "value": "VALUE",
    "at": "SINCE",
    "who": "BY",
    "removed": "REMOVED",
    "state": "STATE",
    "kept": "KEPT",
}
NOTHING = "nothing is erased"

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say how much it would be.")


def shown(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as a row of the table."""
    kind = next(each for each in KINDS if each in rule)
    share = f"{rule['carried_out']:.0%} carried out"
    return {
        **rule,
        "what": kind,
        "value": rule[kind],
        "state": "done" if rule["done"] else share,
    }


def prospect_line(told: dict[str, Any]) -> str:
    """Say what a rule would remove."""
    kind = next(each for each in KINDS if each in told)
    text = f"{kind} {told[kind]}: {told['hits']} hits"
    older = told.get("counted", told["hits"]) - told["hits"]
    return f"{text}, and {older} that are only counted any more" if older > 0 else text


@click.group(epilog=example("milepost erase link 01JD… --dry-run", "milepost erase ls"))
def erase() -> None:
    """Remove a visitor, a link or a host from the hits and their sums, and keep it out."""


def _command(kind: str, metavar: str, what: str) -> click.Command:
    @click.command(kind, epilog=example(f"milepost erase {kind} {what} --dry-run"))
    @click.argument("value", metavar=metavar)
    @yes_option
    @dry_run_option
    @json_option
    @fleet_option
    @click.pass_obj
    def command(here: Surroundings, *, value: str, yes: bool, dry_run: bool, as_json: bool) -> None:
        place = find(here, Central.AGGREGATOR)
        prospect = asyncio.run(_post(place, {kind: value, "dry_run": True}))
        if dry_run and as_json:
            emit_json([prospect])
            return
        click.echo(cell(prospect_line(prospect)), err=as_json)
        if dry_run:
            return
        if not yes:
            click.confirm(
                f"This cannot be undone, and no hit of this {kind} is kept any more. Erase?",
                abort=True,
                err=as_json,
            )
        told = asyncio.run(_post(place, {kind: value}))["rule"]
        done = asyncio.run(_follow(place, kind, told[kind], quiet=as_json))
        _show([done], as_json=as_json)

    command.help = (
        f"Remove every hit of {metavar} from the combined database and from what is counted.\n\n"
        "It stays a rule: what comes later, or is restored, is removed as well."
    )
    return command


@erase.command("ls", epilog=example("milepost erase ls --json"))
@json_option
@fleet_option
@click.pass_obj
def list_erased(here: Surroundings, *, as_json: bool) -> None:
    """Show what must not be kept, and how far that is carried out."""
    rules = asyncio.run(_rules(find(here, Central.AGGREGATOR)))
    _show(rules, as_json=as_json)


def _show(rules: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(rules)
        return
    emit_table(COLUMNS, [shown(each) for each in rules], NOTHING)


def progress_bar(*, quiet: bool) -> Progress:
    """Return a bar on standard error, which only a terminal shows."""
    out = Console(stderr=True)
    return Progress(console=out, transient=True, disable=quiet or not out.is_terminal)


async def _post(place: Place, body: dict[str, Any]) -> Any:
    async def question(client: Client) -> Any:
        return await client.post("/v1/erase", body, wait_seconds=LOOK_SECONDS)

    return await ask(place, question)


async def _rules(place: Place) -> list[dict[str, Any]]:
    answer = await ask(place, lambda client: client.get("/v1/erase"))
    rules: list[dict[str, Any]] = answer["rules"]
    return rules


async def _follow(place: Place, kind: str, value: str, *, quiet: bool) -> dict[str, Any]:
    """Wait until a rule is carried out; it goes on without us just as well."""
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("erasing", total=1.0)
        while True:
            found = [each for each in await _rules(place) if each.get(kind) == value]
            if not found or found[0]["done"]:
                return found[0] if found else {kind: value}
            progress.update(task, completed=found[0]["carried_out"])
            await asyncio.sleep(POLL_SECONDS)


for one in (
    _command("visitor", "HASH", "0123456789abcdef0123456789abcdef"),
    _command("link", "ID", "01JD2Q"),
    _command("host", "NAME", "old.example"),
):
    erase.add_command(one)
