"""Hashes for address boxes: who gets them, and for what."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from key_server.api import KeyServer
from key_server.boxes import Destroyed, EpochSecrets, Known, as_hashes, open_items
from key_server.store import KeyStore
from milepost import sqlite
from milepost.batch import Header
from milepost.epochs import PublicEpoch
from milepost.errors import UnavailableError
from milepost.hashing import BODY_BYTES_MAX, ITEMS_MAX, Fault, Hashes, Item, Unanswered
from milepost.seal import seal_addresses
from milepost.tokens import MacKeys
from milepost.visitor import visitor_hash
from milepost.vocabulary import BatchId, Epoch, KeyId, Millis, Salt, Seq, StreamId
from tests.kernel.kernel_values import PUBLIC_KEY, SECRET_KEY
from tests.key_server.key_world import EDGE_TOKEN, MACS, START, Connect, World, call, showing

Client = TestClient[Any, Any]
HOME, HOUSE = "203.0.113.77", "2001:db8:5:7::/64"
ADDRESSES = {0: HOME, 2: HOUSE}
SALT = Salt(b"s" * 32)


def a_header(epoch: PublicEpoch, number: int = 1) -> Header:
    """Return the header of a batch of four."""
    return Header(
        stream=StreamId(b"s" * 16),
        seq=Seq(number),
        batch=BatchId(number.to_bytes(16, "big")),
        epoch=epoch.number,
        key=epoch.key_id,
        count=4,
        first_ms=START,
        last_ms=Millis(START + 1),
        tally="[[1763640000000,4,0,0,0]]",
    )


def an_item(
    epoch: PublicEpoch, /, number: int = 1, token: str = EDGE_TOKEN, **changes: Any
) -> dict[str, Any]:
    """Return an item as it travels; *changes* are made to the header after the box was sealed."""
    header = a_header(epoch, number)
    box = seal_addresses(header, ADDRESSES, epoch.address_key, token)
    return Item(replace(header, **changes), box).to_json()


async def ask(
    client: Client, items: Any, path: str = "/v1/hash", token: str = "open"
) -> tuple[int, Any]:
    """POST *items*; return the status and what was answered."""
    body = BytesIO(orjson.dumps({"items": items}))
    async with client.post(path, data=body, headers=showing(token)) as response:
        told = orjson.loads(await response.read())
        return response.status, told.get("items", told)


def current(server: KeyServer) -> PublicEpoch:
    """Return the epoch in force."""
    return server.issuer.held[0].public


def destroy(world: World, epoch: PublicEpoch) -> None:
    """Take away salt and address key of *epoch*."""
    database = sqlite.connect(world.database)
    database.execute(
        "UPDATE epoch SET salt = NULL, address_secret = NULL, salt_gone_ms = 1 WHERE number = ?",
        (epoch.number,),
    )
    database.close()


async def rows_of(store: KeyStore) -> list[tuple[str, str, int, int]]:
    """Return what the trail says."""
    return [(row.who, row.what, row.epoch, row.count) for row in await store.notes(0, 1_000)]


async def test_a_box_is_answered_with_the_hashes_of_its_epoch(
    world: World, aiohttp_client: Connect
) -> None:
    """The same that an edge with the salt at hand would have made, by the record's index."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        (told,) = (await call(client, "edge", "/v1/salts"))["salts"]
        status, answers = await ask(client, [an_item(current(server))])

    salt = Salt(bytes.fromhex(told["salt"]))
    hashes = {str(index): visitor_hash(salt, each).hex() for index, each in ADDRESSES.items()}
    assert status == 200
    assert answers == [{"batch": f"{1:032x}", "hashes": hashes}]


@pytest.mark.parametrize(
    ("path", "scope"), [("/v1/hash", "open"), ("/v1/open-addresses", "addresses")]
)
async def test_each_call_needs_its_own_scope(
    world: World, aiohttp_client: Connect, path: str, scope: str
) -> None:
    """Neither the edge, nor who rotates, nor the holder of the other one of the two."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        for token in ("edge", "open", "keys", "rotate", "pull", "addresses", "stranger"):
            status, _ = await ask(client, [an_item(current(server))], path, token)
            expected = 200 if token == scope else 401 if token == "stranger" else 403
            assert status == expected, token


async def test_addresses_are_opened_for_their_own_scope(
    world: World, aiohttp_client: Connect
) -> None:
    """In canonical form, and what would not be hashed is not opened either."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        epoch = current(server)
        items = [an_item(epoch), an_item(epoch, 2, seq=Seq(9))]
        status, answers = await ask(client, items, "/v1/open-addresses", "addresses")
        rows = await rows_of(server.store)

    assert status == 200
    assert answers[0] == {"batch": f"{1:032x}", "addresses": {"0": HOME, "2": HOUSE}}
    assert answers[1]["code"] == "refused"
    assert rows == [("addresses", "open-addresses", epoch.number, 2)]


async def test_one_bad_item_costs_the_others_nothing(world: World, aiohttp_client: Connect) -> None:
    """Each answer stands in the place of its item, and says which fault it was."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        epoch = current(server)
        items = [
            an_item(epoch, 1),
            an_item(epoch, 2, seq=Seq(9)),
            an_item(epoch, 3, epoch=Epoch(999)),
            an_item(epoch, 4, key=KeyId(b"otherkey")),
            an_item(epoch, 5, token="milepost_guess"),
            an_item(epoch, 6) | {"addresses": "!"},
            an_item(epoch, 7) | {"addresses": an_item(epoch, 7)["addresses"][:-40]},
            7,
            an_item(epoch, 8, epoch=Epoch(epoch.number + 1)),
            an_item(epoch, 9),
        ]
        status, answers = await ask(client, items)
        rows = await rows_of(server.store)

    assert status == 200
    assert [answer.get("code", "") for answer in answers] == [
        *("", "refused", "unknown_epoch", "refused", "refused"),
        *("malformed", "refused", "malformed", "refused", ""),
    ]
    assert [answer["batch"] for answer in answers] == [
        *(f"{number:032x}" for number in range(1, 8)),
        None,
        *(f"{number:032x}" for number in (8, 9)),
    ]
    assert rows == [("open", "hash", 0, 0), ("open", "hash", 1, 4), ("open", "hash", 2, 0)]


async def test_a_destroyed_epoch_answers_no_more(world: World, aiohttp_client: Connect) -> None:
    """What it says is that, and not that nobody ever heard of it."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        epoch = current(server)
        destroy(world, epoch)
        _, (answer,) = await ask(client, [an_item(epoch)])

    assert answer["code"] == "destroyed"
    assert "destroyed" in answer["error"]


async def test_a_destruction_overtakes_a_call(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was ready when its epoch was destroyed does not leave."""
    note = KeyStore.note

    async def destroy_then_note(store: KeyStore, *rest: Any) -> None:
        destroy(world, server.issuer.held[0].public)
        await note(store, *rest)

    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        monkeypatch.setattr(KeyStore, "note", destroy_then_note)
        status, told = await ask(client, [an_item(current(server))])

    assert status == 503
    assert "hashes" not in repr(told)


async def test_an_older_tokens_file_is_named(world: World, aiohttp_client: Connect) -> None:
    """Whether the box is from that edge nobody can tell, so it is not called foreign."""
    world.macs = MacKeys({}, ("edge-dfw",))
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        _, (answer,) = await ask(client, [an_item(current(server))])

    assert answer["code"] == "no_mac_key"
    assert "edge-dfw" in answer["error"]


async def test_nothing_is_answered_that_cannot_be_noted(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash without a row in the trail would be one that nobody can show."""

    async def fail(*_: Any) -> None:
        raise UnavailableError

    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        monkeypatch.setattr(KeyStore, "note", fail)
        status, told = await ask(client, [an_item(current(server))])

    assert status == 503
    assert "hashes" not in repr(told)


async def test_no_address_is_logged_or_told(world: World, aiohttp_client: Connect) -> None:
    """Neither of a box that is answered nor of one that is refused, in any form."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        epoch = current(server)
        with capture_logs() as lines:
            _, answers = await ask(client, [an_item(epoch), an_item(epoch, 2, count=2)])
        async with client.get("/metrics") as response:
            text = repr(lines) + repr(answers) + await response.text()

    assert HOME not in text
    assert "2001:db8" not in text
    assert lines[-1]["items"] == 2
    assert lines[-1]["refused"] == 1


async def test_a_call_is_bounded(world: World, aiohttp_client: Connect) -> None:
    """In items and in bytes; the answer names the limit."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        item = an_item(current(server))
        full, _ = await ask(client, [item] * ITEMS_MAX)
        many, told = await ask(client, [item] * (ITEMS_MAX + 1))
        large, problem = await ask(client, ["x" * BODY_BYTES_MAX])

    assert (full, many, large) == (200, 413, 413)
    assert f"at most {ITEMS_MAX}" in told["detail"]
    assert str(BODY_BYTES_MAX) in problem["detail"]


@pytest.mark.parametrize("body", [b"", b"7", b"{}", b'{"items": 7}', b'{"items": {}}'])
async def test_what_is_no_call_is_refused_whole(
    world: World, aiohttp_client: Connect, body: bytes
) -> None:
    """With what would be one."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        async with client.post("/v1/hash", data=body, headers=showing("open")) as response:
            assert response.status == 400


async def test_a_token_may_not_ask_for_ever(world: World, aiohttp_client: Connect) -> None:
    """A stolen one tries its guesses slowly; its owner is told when to come back."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        statuses = [(await ask(client, []))[0] for _ in range(101)]
        world.clock.move(1_000)
        again, _ = await ask(client, [])

    assert statuses == [200] * 100 + [429]
    assert again == 200


async def test_addresses_are_counted_too(world: World, aiohttp_client: Connect) -> None:
    """By what the headers claim: with few calls nobody gets at all addresses there are."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        full = [an_item(current(server), number, count=1_000) for number in range(ITEMS_MAX)]
        statuses = [(await ask(client, full))[0] for _ in range(2)]
        world.clock.move(52_000)
        again, _ = await ask(client, full)

    assert statuses == [200, 429]
    assert again == 200


async def test_a_batch_that_no_edge_writes_is_refused(
    world: World, aiohttp_client: Connect
) -> None:
    """One with more records than a batch may have costs little and brings nothing."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        epoch = current(server)
        header = replace(a_header(epoch), count=1_001)
        box = seal_addresses(header, ADDRESSES, epoch.address_key, EDGE_TOKEN)
        _, (answer,) = await ask(client, [Item(header, box).to_json()])

    assert answer["code"] == "refused"
    assert "1000 records" in answer["error"]


EPOCH = PublicEpoch(
    number=Epoch(7),
    start_ms=START,
    end_ms=Millis(START + 1),
    record_key=bytes(32),
    address_key=PUBLIC_KEY,
)
SECRETS = EpochSecrets(EPOCH, SECRET_KEY, SALT)
OTHER = replace(EPOCH, number=Epoch(8))
KNOWN: Known = {
    Epoch(7): SECRETS,
    Epoch(8): EpochSecrets(OTHER, SECRET_KEY, SALT),
    Epoch(9): Destroyed(),
}
moves = st.fixed_dictionaries(
    {},
    optional={
        "stream": st.binary(min_size=16, max_size=16).map(StreamId),
        "batch": st.binary(min_size=16, max_size=16).map(BatchId),
        "epoch": st.sampled_from([7, 8, 9, 10]).map(Epoch),
        "seq": st.integers(1, 5).map(Seq),
        "count": st.integers(0, 5),
        "last_ms": st.integers(START, START + 5).map(Millis),
        "tally": st.sampled_from(["[]", "[[1763640000000,4,0,0,0]]"]),
    },
)


@given(moves, st.binary(max_size=1), st.sampled_from([EDGE_TOKEN, "milepost_guess"]))
def test_only_an_untouched_box_is_ever_answered(
    changes: dict[str, Any], more: bytes, token: str
) -> None:
    """Moved to any other place, lengthened, or made by somebody else, it tells nothing.

    Both epochs have the same keys here, so that nothing but the header stands in the way.
    """
    home = a_header(EPOCH)
    moved = replace(home, **changes)
    box = seal_addresses(home, ADDRESSES, PUBLIC_KEY, token) + more

    (answer,) = open_items([Item(moved, box)], KNOWN, MACS, as_hashes)

    if moved == home and not more and token == EDGE_TOKEN:
        assert isinstance(answer, Hashes)
    else:
        assert isinstance(answer, Unanswered)
        assert answer.fault in {Fault.REFUSED, Fault.DESTROYED, Fault.UNKNOWN_EPOCH}


def test_secrets_do_not_print() -> None:
    """An epoch's do not, so that no log line and no traceback can tell them."""
    assert repr(SALT) not in repr(SECRETS)
    assert repr(SECRET_KEY) not in repr(SECRETS)
