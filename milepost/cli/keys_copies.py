"""`milepost keys init | backup | recover | rewrap`: the keys as a whole.

All but `backup` are done while no key server runs, with its settings in the
environment, by the key server's own program.
"""

import asyncio
from pathlib import Path
from typing import Any

import click

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.output import emit_json, moment
from milepost.cli.places import Central, ask, find
from milepost.cli.serve import become, command_of
from milepost.client import Client

BACKUP_SECONDS = 60.0
WHERE = "MILEPOST_DATA=/data MILEPOST_MASTER_KEY_FILE=/run/master.key"

existing_file = click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True)
any_file = click.Path(path_type=Path, dir_okay=False, resolve_path=True)


@click.command(
    "init",
    epilog=example(
        f"{WHERE} milepost keys init",
        "MILEPOST_DATA=/data milepost keys init --new-master-key-file /run/master.key",
    ),
)
@click.option(
    "--new-master-key-file",
    "key_file",
    type=any_file,
    help="Make the master key too, in this file, which must not be there yet.",
)
def init_keys(key_file: Path | None) -> None:
    """Make the key server's identity and first epochs, and print the identity.

    Reads the key server's settings from the environment. What is there already stays as it is.
    """
    become(command_of("keys", "init", *([str(key_file)] if key_file else [])))


@click.command("backup", epilog=example("milepost keys backup --to /mnt/elsewhere"))
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder on the key server's machine; by default what MILEPOST_KEYS_BACKUP says there.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@fleet_option
@click.pass_obj
def backup_keys(here: Surroundings, *, folder: Path | None, as_json: bool) -> None:
    """Have the key server make an encrypted copy of its keys now.

    With --to nobody deletes the copy when its time is over: do so yourself, for the receipts
    of what is destroyed promise it.
    """
    body = {"to": str(folder.absolute())} if folder else {}

    async def question(client: Client) -> Any:
        return await client.post("/v1/backup", body, wait_seconds=BACKUP_SECONDS)

    answer = asyncio.run(ask(find(here, Central.KEYS), question))
    if as_json:
        emit_json([answer])
        return
    click.echo(f"{answer['name']}, {answer['bytes']} bytes")
    if folder:
        click.echo(f"delete it yourself by {moment(answer['until_ms'])}: nobody else does")


@click.command(
    "recover", epilog=example(f"{WHERE} milepost keys recover --from /backup/keys-….copy")
)
@click.option("--from", "copy", type=existing_file, required=True, help="The copy to begin with.")
@click.option(
    "--receipts",
    type=existing_file,
    help="Receipts of what has been destroyed since, as JSON: it stays destroyed.",
)
def recover_keys(copy: Path, receipts: Path | None) -> None:
    """Begin in an empty folder with a copy of the keys, and say what that costs.

    Reads the key server's settings from the environment; the master key is the one of the copy.
    """
    become(command_of("keys", "recover", str(copy), *([str(receipts)] if receipts else [])))


@click.command(
    "rewrap", epilog=example(f"{WHERE} milepost keys rewrap --new-master-key-file /run/new.key")
)
@click.option(
    "--new-master-key-file",
    "key_file",
    type=any_file,
    required=True,
    help="Holds the new master key; made if it is not there.",
)
def rewrap_keys(key_file: Path) -> None:
    """Change the master key of a key server that is stopped.

    The settings in the environment name the old one. It can be cut off at any moment and typed
    again.
    """
    become(command_of("keys", "rewrap", str(key_file)))
