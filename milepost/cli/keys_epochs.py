"""`milepost keys rotate | export-public`: the epochs as everybody sees them."""

import asyncio
from typing import Any

import click

from milepost.cli.group import FailedError, Surroundings, example, fleet_option
from milepost.cli.output import emit_json, moment
from milepost.cli.places import Central, ask, find
from milepost.client import Client


@click.command("rotate", epilog=example("milepost keys rotate --now --yes"))
@click.option("--now", "at_once", is_flag=True, help="End the current epoch now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@fleet_option
@click.pass_obj
def rotate_keys(here: Surroundings, *, at_once: bool, yes: bool, as_json: bool) -> None:
    """Show the current epoch and when the next begins; with --now, let it begin at once."""
    place = find(here, Central.KEYS)
    active = asyncio.run(ask(place, _active))
    if not at_once:
        if as_json:
            emit_json([active])
            return
        click.echo(f"epoch {active['epoch']}, from {moment(active['start_ms'])}")
        click.echo(f"the next one begins {moment(active['end_ms'])}")
        click.echo("`milepost keys rotate --now` cuts it short: the next one begins at that moment")
        return
    if not yes:
        click.confirm(
            f"End epoch {active['epoch']} now? Visitors are counted anew from this moment on",
            abort=True,
            err=True,
        )
    answer = asyncio.run(ask(place, _rotate))
    if as_json:
        emit_json([answer])
        return
    click.echo(f"epoch {answer['epoch']} has begun; it ends {moment(answer['end_ms'])}")


@click.command("export-public", epilog=example("milepost keys export-public > epochs.json"))
@fleet_option
@click.pass_obj
def export_public(here: Surroundings) -> None:
    """Print the signed list of epochs as the edges get it; nothing in it is secret."""

    async def question(client: Client) -> bytes:
        content, _etag = await client.exchange("GET", "/v1/epochs")
        return content

    click.echo(asyncio.run(ask(find(here, Central.KEYS), question)).decode())


async def _active(client: Client) -> dict[str, Any]:
    told = await client.get("/v1/states")
    for epoch in told["epochs"]:
        if epoch["state"] == "active":
            return dict(epoch)
    msg = "no epoch holds this moment; is the key server's clock right?"
    raise FailedError(msg)


async def _rotate(client: Client) -> Any:
    return await client.post("/v1/rotate", {})
