"""Copies of the keys: small, sealed, made and deleted on time, and good to begin with."""

import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from key_server.copies.content import Copy
from key_server.copies.names import DAY_MS, DRAFT, every_ms, expired, made_at, name_of, newest
from key_server.copies.offline import Tools, read_copy, recover_from
from key_server.copies.receipts import read_receipts
from key_server.copies.recovering import Recovery
from key_server.copies.store import CopyStore
from key_server.periods import Span
from key_server.store import KeyStore
from key_server.wrapping import NONCE_BYTES, Purpose, Vault
from milepost.audit import verify_trail
from milepost.epochs import verify_list
from milepost.errors import ConfigError, UnavailableError
from milepost.receipts import Receipt, What, sign_receipt
from milepost.vocabulary import Epoch, KeyId, Millis
from tests.key_server.key_world import LIMITS, START, Connect, World, showing

SECOND_MS = 1_000


def copies(folder: Path) -> list[Path]:
    """Return the copies in *folder*, the oldest first."""
    return sorted(folder.glob("*.copy"))


async def copied(world: World) -> Path:
    """Make the keys and a copy of them."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        await server.trail.note("edge", "salts", Epoch(1))
        await server.copier.make()
    return copies(world.copies)[-1]


def receipt(world: World, epoch: int, what: str, at_ms: int, signer: bytes = b"") -> bytes:
    """Return a receipt as the identity of *world*, or *signer*, signs it."""
    seed = signer or world.entropy.given[0]
    _, key = sodium.crypto_sign_seed_keypair(seed)
    told = Receipt(
        epoch=Epoch(epoch),
        what=What(what),
        at_ms=Millis(at_ms),
        key=KeyId(bytes(8)),
        public_hash=bytes(32),
        wrapped_hash=bytes(32),
        clicks=0,
        no_copy_after_ms=Millis(at_ms),
    )
    return sign_receipt(told, key).encode() + b"\n"


async def recovered(world: World, copy: Path, receipts: bytes | None = None) -> Recovery:
    """Begin with *copy* in the world's other folder, which is its own from now on."""
    world.folder /= "again"
    world.folder.mkdir()
    file = world.folder / "receipts.json"
    if receipts is not None:
        file.write_bytes(receipts)
    opened = read_copy(copy, world.vault)
    async with KeyStore.open(world.database) as store:
        return await recover_from(
            store,
            world.vault,
            opened,
            file if receipts is not None else None,
            period=world.period,
            grace_ms=LIMITS.grace_ms,
            use=Tools(clock=world.clock, entropy=world.entropy),
        )


@given(st.integers(0, 4_102_444_800_000))
def test_a_name_tells_the_moment(made_ms: int) -> None:
    """To the millisecond; and names sort like moments."""
    assert made_at(name_of(Millis(made_ms))) == made_ms
    assert made_at(name_of(Millis(made_ms)) + DRAFT) == made_ms
    assert name_of(Millis(made_ms)) < name_of(Millis(made_ms + 1))


def test_only_what_we_named_is_ever_deleted() -> None:
    """Copies and drafts that are old enough, and nothing else in the folder."""
    old, young = name_of(START), name_of(Millis(START + 1))
    names = ("notes.txt", "keys-today.copy", "keys-99999999T999999.999Z.copy", old, young)

    assert expired((*names, old + DRAFT), Millis(START + DAY_MS), DAY_MS) == (old, old + DRAFT)
    assert newest((*names, name_of(Millis(START + 9)) + DRAFT), Millis(START + 9)) == START + 1
    assert newest((), START) is None


def test_short_epochs_are_copied_more_often() -> None:
    """A copy must hold the epochs that are in use when it is needed."""
    day = [Span(Epoch(1), START, Millis(START + DAY_MS))]
    short = [*day, *(Span(Epoch(n), START, Millis(START + 2_000)) for n in range(2, 60))]

    assert every_ms(day) == DAY_MS
    assert every_ms(short) == 48_000


async def test_a_copy_says_nothing_without_the_master_key(world: World) -> None:
    """No secret, no public key and no name of a caller is in it; it is its owner's alone."""
    path = await copied(world)
    content = path.read_bytes()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(content) < 64_000
    assert not [given for given in world.entropy.given if len(given) == 32 and given in content]
    assert b"edge" not in content
    assert world.entropy.given[0].hex().encode() not in content
    with pytest.raises(ConfigError, match="another master key"):
        Copy.opened(content, Vault(bytes(32)))


@pytest.mark.parametrize("at", [0, 20, 60, 5_000, -1])
async def test_a_damaged_copy_is_refused(world: World, at: int) -> None:
    """In words, whichever byte it is."""
    content = bytearray((await copied(world)).read_bytes())
    content[at] ^= 1

    for damaged in (bytes(content), bytes(content[:40])):
        with pytest.raises(ConfigError, match=r"no copy|another master key|damaged"):
            Copy.opened(damaged, world.vault)


async def test_a_copy_holds_the_whole_database(world: World) -> None:
    """What is opened is what was read."""
    async with world.open() as server:
        copy = await CopyStore(server.store).read(START)

    assert Copy.opened(copy.sealed(world.vault, bytes(NONCE_BYTES)), world.vault) == copy
    assert len(copy.epochs) == 50
    assert "salt=" not in repr(copy)


async def test_old_copies_go_although_no_new_one_can_be_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts promise the moment; a full disk or a broken database does not move it."""

    async def fail(*_: Any) -> Copy:
        raise UnavailableError

    path = await copied(world)
    async with world.open() as server:
        world.clock.move(2 * DAY_MS)
        monkeypatch.setattr(CopyStore, "read", fail)
        await server.copier.step()

    assert not path.exists()


async def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(world: World) -> None:
    """The epoch is cut short all the same, and nothing half-written is left."""
    world.copies = world.folder / "copies"
    world.copies.write_text("a file in the place of the folder")
    async with world.open() as server:
        await server.copier.step()
        await server.copier.after_change()
        with pytest.raises(UnavailableError, match="copies of the keys"):
            await server.copier.make()


async def test_a_rotation_by_hand_is_copied_at_once(world: World, aiohttp_client: Connect) -> None:
    """It moved the bounds that an older copy has."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(SECOND_MS)
        async with client.post("/v1/rotate", headers=showing("rotate"), json={}) as response:
            assert response.status == 200
    (path,) = copies(world.copies)

    spans = [epoch.end_ms for epoch in Copy.opened(path.read_bytes(), world.vault).epochs]
    assert spans[0] == START + SECOND_MS


async def test_the_call_answers_name_and_size(world: World, aiohttp_client: Connect) -> None:
    """Never content; without a place it says what to do; and it is in the trail."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        told = []
        there = str(world.folder / "there")
        bodies: tuple[Any, ...] = (
            {},
            {"to": "copies"},
            {"to": 1},
            {"to": "/nul\0"},
            [],
            {"to": there},
        )
        for body in bodies:
            async with client.post("/v1/backup", headers=showing("rotate"), json=body) as response:
                told.append((response.status, await response.json()))
        async with client.post("/v1/backup", headers=showing("keys"), json={}) as response:
            assert response.status == 403
        trail = await server.store.notes(0, 9)
    (path,) = copies(world.folder / "there")

    assert [status for status, _ in told] == [400, 400, 400, 400, 400, 200]
    assert "MILEPOST_KEYS_BACKUP" in told[0][1]["detail"]
    assert told[-1][1] == {
        "name": path.name,
        "bytes": path.stat().st_size,
        "made_ms": START,
        "until_ms": START + 2 * DAY_MS,
    }
    assert {(row.who, row.what) for row in trail} == {("rotate", "backup")}


async def test_a_recovered_server_is_the_same_one_with_new_epochs(world: World) -> None:
    """Its list is newer, its numbers are nobody's, and what was sealed before still opens."""
    copy = await copied(world)
    async with world.open() as server:
        identity, before = server.issuer.identity, server.issuer.held
        world.clock.move(SECOND_MS)
        await server.issuer.rotate("somebody")
        world.clock.move(SECOND_MS)
        published = server.issuer.board.shown.version
    result = await recovered(world, copy)
    now = world.clock.now()
    async with world.open() as server:
        listed = verify_list(orjson.loads(server.issuer.board.shown.document), identity)
        held, at = server.issuer.held, listed.at(now)
        secret = await server.store.record_secret(2)
        rows = await server.store.notes(0, 9)
        number, chain = await server.store.trail_begins()

    assert listed.version > published
    assert at
    assert at.number == result.new[0].number > 50 + SECOND_MS
    assert [epoch.public.key_id for epoch in held[:50]] == [e.public.key_id for e in before]
    assert all(one.span.end_ms == other.span.start_ms for one, other in pairwise(held))
    assert sum(epoch.span.start_ms > now for epoch in held) >= 48
    assert secret is not None
    assert (number, rows[0].number, rows[0].what) == (1, 2, "recover")
    assert verify_trail(rows, chain, number) == rows[-1].chain


async def test_what_was_destroyed_stays_destroyed(world: World) -> None:
    """By the copy, and by receipts that the copy does not know."""
    copy = await copied(world)
    receipts = receipt(world, 1, "record", START + 1) + receipt(world, 2, "salt", START + 2)
    world.clock.move(SECOND_MS)
    result = await recovered(world, copy, receipts + receipt(world, 99, "record", START + 3))
    async with world.open() as server:
        again = await CopyStore(server.store).read(world.clock.now())
        assert await server.store.record_secret(1) is None
        assert await server.store.salt(Epoch(2)) is None
    one, two = again.epochs[:2]

    assert result.proven == (1, 2)
    assert (one.record_gone_ms, one.salt_gone_ms) == (START + 1, None)
    assert (two.salt_gone_ms, two.address_secret, two.record_gone_ms) == (START + 2, None, None)
    assert [(each.epoch, each.what) for each in again.receipts] == [
        (1, "record"),
        (2, "salt"),
        (99, "record"),
    ]
    copy = await copied(world)
    world.clock.move(SECOND_MS)
    second = await recovered(world, copy)
    assert second.proven == ()


async def test_a_receipt_of_somebody_else_changes_nothing(world: World) -> None:
    """Nor does one that is none; each is refused by its place."""
    copy = await copied(world)
    world.clock.move(SECOND_MS)
    good = receipt(world, 1, "record", START)

    with pytest.raises(ConfigError, match="receipt 2 "):
        await recovered(world, copy, good + receipt(world, 1, "record", START, bytes(32)))
    for bad in (b"{}", b"[1]", b"nonsense", good.replace(b"record", b"recall"), b"7"):
        with pytest.raises(ConfigError):
            read_receipts(bad, bytes(32))


async def test_receipts_come_in_any_of_their_forms(world: World) -> None:
    """The documents alone, one a line or in a list; or the rows that hold them."""
    async with world.open() as server:
        identity = server.issuer.identity
    line = receipt(world, 1, "record", START)
    document = orjson.loads(line)
    rows = orjson.dumps({"number": 1, "document": document}) + b"\n"
    text = orjson.dumps({"number": 1, "document": line.decode()}) + b"\n"
    forms = (line, line * 2, b"[" + line + b"]", rows, text, rows + text)

    for form in (*forms, orjson.dumps({"receipts": [document]})):
        proofs = read_receipts(form, identity)
        assert {(proof.epoch, proof.what, proof.at_ms) for proof in proofs} == {
            (1, "record", START)
        }
        assert {proof.document for proof in proofs} == {orjson.dumps(document).decode()}
    assert read_receipts(b"", identity) == ()


async def test_a_salt_past_its_grace_goes_at_once(world: World) -> None:
    """Its destruction may be what the copy does not know; the trail says so."""
    copy = await copied(world)
    world.clock.move(DAY_MS // 2 + LIMITS.grace_ms)
    result = await recovered(world, copy)
    async with world.open() as server:
        assert await server.store.salt(Epoch(1)) is None
        assert await server.store.salt(Epoch(2)) is not None
        rows = await server.store.notes(0, 9)

    assert result.salts_lost == (1,)
    assert [(row.what, row.epoch) for row in rows] == [("recover", 0), ("destroy-salt", 1)]


async def test_a_copy_older_than_all_it_holds_still_serves(world: World) -> None:
    """One epoch closes the gap."""
    copy = await copied(world)
    world.clock.move(80 * DAY_MS)
    result = await recovered(world, copy)
    async with world.open() as server:
        held = server.issuer.spans

    assert result.ended == ()
    assert [span for span in held if span.holds(world.clock.now())] == [result.new[0]]


async def test_recovery_wants_an_empty_folder_and_a_right_clock(world: World) -> None:
    """Nothing is ever written over, and no number given twice."""
    copy = await copied(world)
    opened = Copy.opened(copy.read_bytes(), world.vault)
    tools = Tools(clock=world.clock, entropy=world.entropy)
    async with KeyStore.open(world.database) as store:
        with pytest.raises(ConfigError, match="already"):
            await recover_from(
                store,
                world.vault,
                opened,
                None,
                period=world.period,
                grace_ms=LIMITS.grace_ms,
                use=tools,
            )
    with pytest.raises(ConfigError, match="clock"):
        await recovered(world, copy)


async def test_secrets_of_a_recovered_server_unwrap(world: World) -> None:
    """Every one of them, old and new, in its own place."""
    copy = await copied(world)
    world.clock.move(SECOND_MS)
    await recovered(world, copy)
    async with world.open() as server:
        again = await CopyStore(server.store).read(world.clock.now())

    for epoch in again.epochs:
        assert epoch.salt
        assert epoch.record_secret
        salt = world.vault.unwrap(Purpose.SALT, epoch.number, epoch.salt)
        secret = world.vault.unwrap(Purpose.RECORD, epoch.number, epoch.record_secret)
        assert len(salt) == 32
        assert sodium.crypto_scalarmult_base(secret) == epoch.record_key
