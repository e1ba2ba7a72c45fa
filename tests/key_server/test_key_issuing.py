"""Issuing: what is made, what stays, and what lies on disk."""

import stat
from itertools import pairwise

import orjson
import pytest

from key_server.api import KeyServer
from key_server.issuing import HELD_MAX, Issuer, found
from key_server.periods import AHEAD, Period, count_ahead
from key_server.store import KeyStore, NewEpoch
from key_server.wrapping import Vault
from milepost.epochs import EPOCHS_IN_LIST_MAX, EpochList, verify_list
from milepost.errors import ConfigError, RejectedError, UnavailableError
from milepost.sqlite import connect
from milepost.vocabulary import Millis
from tests.key_server.key_world import DAY_MS, START, World


def published(server: KeyServer) -> EpochList:
    """Return the list as an edge sees it."""
    return verify_list(orjson.loads(server.issuer.board.shown.document), server.issuer.identity)


async def test_the_first_list_holds_now_and_what_is_promised(world: World) -> None:
    """Signed by the identity, at the moment it was made."""
    async with world.open() as server:
        listed = published(server)

    assert listed.version == START
    assert listed.epochs[0].start_ms <= START < listed.epochs[0].end_ms
    assert len(listed.epochs) > AHEAD


async def test_a_foreign_identity_is_refused(world: World) -> None:
    """Nobody else can publish a list."""
    async with world.open() as server:
        document = orjson.loads(server.issuer.board.shown.document)

    with pytest.raises(RejectedError, match="not signed by the configured key server"):
        verify_list(document, bytes(32))


async def test_a_restart_changes_nothing(world: World) -> None:
    """The same folder gives the same identity, epochs, version and bytes."""
    async with world.open() as server:
        before = server.issuer.board.shown, server.issuer.identity
    async with world.open() as server:
        assert (server.issuer.board.shown, server.issuer.identity) == before


async def test_an_identity_is_given_once(world: World) -> None:
    """Founding again keeps what is there, and says so."""
    async with KeyStore.open(world.database) as store:
        assert await found(store, world.vault, world.entropy) is True
        identity = await store.identity()

        assert await found(store, world.vault, world.entropy) is False
        assert await store.identity() == identity


async def test_without_an_identity_nothing_is_issued(world: World) -> None:
    """The refusal names the command to type."""
    async with KeyStore.open(world.database) as store:
        with pytest.raises(ConfigError, match="milepost keys init"):
            await Issuer.open(store, world.vault, world.period, world.clock, world.entropy)


async def test_a_wrong_master_key_is_an_error_at_start(world: World) -> None:
    """Not garbage later."""
    async with world.open():
        pass
    world.vault = Vault(bytes(32))

    with pytest.raises(ConfigError, match="MILEPOST_MASTER_KEY is not the key"):
        async with world.open():
            pass


async def test_a_passing_day_makes_one_epoch_and_a_newer_list(world: World) -> None:
    """The past stays listed as long as it can be opened; the numbers go on."""
    async with world.open() as server:
        before = published(server)
        world.clock.move(DAY_MS)
        await server.issuer.look()
        after = published(server)

    assert after.epochs[: len(before.epochs)] == before.epochs
    assert len(after.epochs) == len(before.epochs) + 1
    assert after.version == START + DAY_MS


async def test_the_promise_holds_just_after_an_epoch_began(world: World) -> None:
    """Between an epoch's first moment and the next look, enough still lies ahead."""
    async with world.open() as server:
        world.clock.move(DAY_MS)

        assert count_ahead(server.issuer.spans, world.clock.now()) >= AHEAD


async def test_the_version_rises_although_the_clock_goes_back(world: World) -> None:
    """An edge never takes an older list, so a new one must never look older."""
    world.period = Period("seconds", 2)
    async with world.open() as server:
        world.clock.move(500_000)
        await server.issuer.look()
        ahead = published(server).version
    world.clock.move(-400_000)
    async with KeyStore.open(world.database) as store:
        await store.add((), world.clock.now())
        version, _ = await store.newest(1)

    assert version == ahead + 1


async def test_a_long_sleep_leaves_no_gap(world: World) -> None:
    """One epoch reaches from the end of what was held to after now."""
    async with world.open() as server:
        world.clock.move(400 * DAY_MS)
        await server.issuer.look()
        listed = published(server)

    assert listed.covers(world.clock.now())
    assert all(before.end_ms == after.start_ms for before, after in pairwise(listed.epochs))


async def test_a_full_list_loses_its_oldest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its readers take so many, and would cut off those to come."""
    assert HELD_MAX <= EPOCHS_IN_LIST_MAX
    monkeypatch.setattr("key_server.issuing.HELD_MAX", 60)
    async with world.open() as server:
        for _ in range(20):
            world.clock.move(DAY_MS)
            await server.issuer.look()
        listed = published(server)

    assert len(listed.epochs) == 60
    assert listed.covers(world.clock.now())
    assert listed.epochs[-1].end_ms > world.clock.now() + AHEAD * DAY_MS


async def test_a_failure_that_went_through_is_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that happened although it was reported as failed is found on disk."""
    add = KeyStore.add

    async def add_and_fail(self: KeyStore, epochs: tuple[NewEpoch, ...], now: Millis) -> None:
        await add(self, epochs, now)
        msg = "who knows"
        raise UnavailableError(msg)

    async with world.open() as server:
        world.clock.move(DAY_MS)
        with monkeypatch.context() as patch:
            patch.setattr(KeyStore, "add", add_and_fail)
            with pytest.raises(UnavailableError):
                await server.issuer.look()
        before = len(published(server).epochs)
        await server.issuer.look()

        assert len(published(server).epochs) == before + 1
        assert published(server).version == START + DAY_MS


async def test_no_secret_lies_on_disk_in_clear(world: World) -> None:
    """Nor in the write-ahead log; only nonces are to be found, and the public identity."""
    async with world.open() as server:
        disk = b"".join(path.read_bytes() for path in world.folder.iterdir())

    secrets = [given for given in world.entropy.given if len(given) == 32]
    assert len(secrets) > 3 * AHEAD
    assert server.issuer.identity in disk  # what is public is found, so the search works
    assert not any(secret in disk for secret in secrets)
    assert not any(secret.hex().encode() in disk for secret in secrets)


async def test_the_database_is_its_owners_alone(world: World) -> None:
    """Its companions too."""
    async with world.open():
        modes = {stat.S_IMODE(path.stat().st_mode) for path in world.folder.iterdir()}

    assert modes == {0o600}


async def test_what_is_destroyed_leaves_no_bytes(world: World) -> None:
    """The one connection that writes has secure_delete on."""
    async with KeyStore.open(world.database) as store:
        (mode,) = await store._writer.transact(
            lambda db: db.execute("PRAGMA secure_delete").fetchone()
        )

    assert mode == 1


async def test_an_identity_that_is_damaged_is_an_error_at_start(world: World) -> None:
    """The key server never signs as somebody else."""
    async with world.open():
        pass
    connection = connect(world.database)
    connection.execute("UPDATE meta SET seed = zeroblob(72)")
    connection.close()

    with pytest.raises(ConfigError, match="does not unwrap"):
        async with world.open():
            pass
