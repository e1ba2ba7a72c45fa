"""`milepost keys`: the epochs and their states."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.keys_destroy import destroy, receipts
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, ask, find
from milepost.cli.serve import become, command_of
from milepost.client import Client

COLUMNS = {"epoch": "EPOCH", "state": "STATE", "start": "BEGINS", "end": "ENDS", "key": "KEY"}


def shown(epoch: dict[str, Any]) -> dict[str, Any]:
    """Return *epoch* as a row of the table."""
    return {**epoch, "start": moment(epoch["start_ms"]), "end": moment(epoch["end_ms"])}


@click.group(epilog=example("milepost keys list"))
def keys() -> None:
    """Look after the key server."""


@keys.command(
    "init",
    epilog=example(
        "MILEPOST_DATA=/data MILEPOST_MASTER_KEY_FILE=/run/master.key milepost keys init"
    ),
)
def init_keys() -> None:
    """Make the key server's identity and first epochs, and print the identity.

    Reads the key server's settings from the environment. What is there already stays as it is.
    """
    become(command_of("keys", "init"))


@keys.command("list", epilog=example("milepost keys list --json"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_obj
def list_keys(here: Surroundings, *, as_json: bool) -> None:
    """Show all epochs, and how far along each is."""

    async def question(client: Client) -> Any:
        return await client.get("/v1/states")

    answer = asyncio.run(ask(find(here, Central.KEYS), question))
    if as_json:
        emit_json(answer["epochs"])
        return
    click.echo(f"identity {answer['identity']}")
    emit_table(COLUMNS, [shown(epoch) for epoch in answer["epochs"]], "no epochs yet")


for command in (destroy, receipts):
    keys.add_command(command)
