"""`milepost keys destroy` and `receipts`: making an epoch unreadable, and the proof of it."""

import asyncio
from typing import Any

import click

from milepost.cli.group import FailedError, Surroundings, example, fleet_option
from milepost.cli.output import emit_json, emit_table, moment
from milepost.cli.places import Central, Place, ask, find
from milepost.client import Client
from milepost.errors import RejectedError
from milepost.receipts import Receipt, What, read_receipt, verify_receipt

BAD_NEWS = 1
WAIT_SECONDS = 30.0  # the key server asks the aggregator before it answers
COLUMNS = {
    "epoch": "EPOCH",
    "what": "WHAT",
    "at": "DESTROYED",
    "no_copy_after": "NO COPY AFTER",
    "clicks": "CLICKS LOST",
    "signature": "SIGNATURE",
}
MEANS = {
    What.SALT: "no visitor hash of the epoch can be computed or compared with an address any more",
    What.RECORD: "nothing that is sealed to the epoch can be opened any more, by anybody",
}


@click.command(epilog=example("milepost keys destroy 7", "milepost keys destroy 7 --salt --yes"))
@click.argument("epoch", type=click.IntRange(1))
@click.option("--salt", "what", flag_value=What.SALT.value, help="Only salt and address key.")
@click.option("--record", "what", flag_value=What.RECORD.value, help="Only the record key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also what something still needs.")
@fleet_option
@click.pass_obj
def destroy(here: Surroundings, *, epoch: int, what: str | None, yes: bool, force: bool) -> None:
    """Make the secrets of EPOCH unrecoverable: its salt and address key, and its record key.

    Shows first what that makes unreadable, and asks. What something still needs stays, unless
    forced.
    """
    place = find(here, Central.KEYS)
    kinds = [What(what)] if what else list(What)
    prospects = [asyncio.run(_prospect(place, epoch, kind)) for kind in kinds]
    left = [each for each in prospects if not each["destroyed"]]
    for each in prospects:
        click.echo(described(each))
    if any(each["held_back"] for each in left) and not force:
        msg = "something is held back; wait, or type the command again with --force"
        raise FailedError(msg)
    if left and not yes:
        click.confirm("This cannot be undone. Destroy?", abort=True)
    for each in left:
        receipt = read_receipt(asyncio.run(_destroy(place, each)))
        click.echo(
            f"epoch {epoch}: {receipt.what} destroyed at {moment(receipt.at_ms)}; "
            f"no copy after {moment(receipt.no_copy_after_ms)}"
        )


@click.command(epilog=example("milepost keys receipts --verify"))
@click.option("--verify", is_flag=True, help="Check each signature; exit with 1 if one fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@fleet_option
@click.pass_context
def receipts(ctx: click.Context, *, verify: bool, as_json: bool) -> None:
    """Show what has been destroyed, and from when on no backup holds it either."""
    here: Surroundings = ctx.obj
    identity, documents = asyncio.run(ask(find(here, Central.KEYS), all_receipts))
    rows = [shown(each, bytes.fromhex(identity), verify=verify) for each in documents]
    if as_json:
        emit_json(rows)
    else:
        click.echo(f"identity {identity}")
        emit_table(COLUMNS, rows, "nothing has been destroyed yet")
    if any(row["signature"] == "BAD" for row in rows):
        ctx.exit(BAD_NEWS)


def described(prospect: dict[str, Any]) -> str:
    """Say in a sentence what destroying that would mean."""
    what = What(prospect["what"])
    name = f"{what} of epoch {prospect['epoch']}"
    if prospect["destroyed"]:
        return f"{name}: destroyed already"
    text = f"{name}: {MEANS[what]}"
    if not prospect["held_back"]:
        return f"{text}; nothing needs it"
    known = "" if prospect["known"] else " known of"
    return (
        f"{text}; still needed for {prospect['clicks']} records{known} in "
        f"{len(prospect['streams'])} logs: {prospect['why']}"
    )


async def all_receipts(client: Client) -> tuple[str, list[dict[str, Any]]]:
    """Return the identity and every receipt, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["number"] if found else 0
        page = await client.get("/v1/receipts", {"after": str(after)})
        if not page["receipts"]:
            return page["identity"], found
        found += page["receipts"]


def shown(document: dict[str, Any], identity: bytes, *, verify: bool) -> dict[str, Any]:
    """Return a receipt as a row: what it says, and whether it is signed."""
    try:
        receipt = verify_receipt(document, identity) if verify else read_receipt(document)
    except RejectedError as error:
        return {"number": document.get("number"), "signature": "BAD", "reason": str(error)}
    return {
        "number": document.get("number"),
        **_fields(receipt),
        "signature": "good" if verify else "not checked",
        "document": {name: document[name] for name in ("receipt", "signature")},
    }


def _fields(receipt: Receipt) -> dict[str, Any]:
    return {
        "epoch": receipt.epoch,
        "what": receipt.what,
        "at": moment(receipt.at_ms),
        "at_ms": receipt.at_ms,
        "no_copy_after": moment(receipt.no_copy_after_ms),
        "no_copy_after_ms": receipt.no_copy_after_ms,
        "clicks": receipt.clicks,
    }


async def _prospect(place: Place, epoch: int, what: What) -> Any:
    async def question(client: Client) -> Any:
        return await client.call(
            "GET",
            "/v1/destroy",
            params={"epoch": str(epoch), "what": what},
            wait_seconds=WAIT_SECONDS,
        )

    return await ask(place, question)


async def _destroy(place: Place, prospect: dict[str, Any]) -> Any:
    body = {"epoch": prospect["epoch"], "what": prospect["what"]}
    if prospect["held_back"]:
        body["force_clicks"] = prospect["clicks"]  # the number that was shown, and no other

    async def question(client: Client) -> Any:
        return await client.post("/v1/destroy", body, wait_seconds=WAIT_SECONDS)

    return (await ask(place, question))["receipt"]
