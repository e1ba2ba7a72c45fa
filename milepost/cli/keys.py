"""`milepost keys`: the epochs and their states, and what can be done to them."""

import asyncio
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.keys_audit import audit_keys
from milepost.cli.keys_copies import backup_keys, init_keys, recover_keys, rewrap_keys
from milepost.cli.keys_destroy import destroy, receipts
from milepost.cli.keys_epochs import export_public, rotate_keys
from milepost.cli.keys_shown import COLUMNS, shown
from milepost.cli.output import emit_json, emit_table
from milepost.cli.places import Central, ask, find
from milepost.client import Client
from milepost.clock import SystemClock


@click.group(epilog=example("milepost keys list"))
def keys() -> None:
    """Look after the key server."""


@keys.command("list", epilog=example("milepost keys list --json"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_obj
def list_keys(here: Surroundings, *, as_json: bool) -> None:
    """Show all epochs, how far along each is, and what it can still open."""

    async def question(client: Client) -> Any:
        return await client.get("/v1/states")

    answer = asyncio.run(ask(find(here, Central.KEYS), question))
    if as_json:
        emit_json(answer["epochs"])
        return
    click.echo(f"identity {answer['identity']}")
    now = SystemClock().now()
    emit_table(COLUMNS, [shown(epoch, now) for epoch in answer["epochs"]], "no epochs yet")


for command in (
    *(init_keys, rotate_keys, export_public, audit_keys),
    *(backup_keys, recover_keys, rewrap_keys, destroy, receipts),
):
    keys.add_command(command)
