"""What is done to the keys while no key server runs, by real processes on real files."""

import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from key_server.copies.content import KeptEpoch
from key_server.copies.offline import Tools, require_no_past, rewrap
from key_server.copies.store import CopyStore
from key_server.store import FILE, KeyStore
from key_server.wrapping import Purpose, Vault
from milepost.errors import ConfigError, ServiceError
from milepost.sqlite import connect, connect_read_only
from tests.key_server.key_world import START, MovableClock, World
from tests.key_server.test_key_process import MASTER_KEY, environment, run

KILLS = 50
EPOCHS = 2_000
OTHER_KEY = "3c" * 32


def tools(world: World) -> Tools:
    """Return time and chance."""
    return Tools(clock=world.clock, entropy=world.entropy)


def wrapped_of(epoch: KeptEpoch) -> list[bytes]:
    """Return what of *epoch* lies wrapped on disk."""
    return [each for each in (epoch.record_secret, epoch.address_secret, epoch.salt) if each]


def bytes_in(folder: Path) -> bytes:
    """Return all files in *folder*, one behind the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


async def test_nothing_wrapped_under_the_old_key_stays_in_the_files(world: World) -> None:
    """Byte by byte, the WAL included; and every secret is what it was."""
    async with world.open() as server:
        before = await CopyStore(server.store).read(START)
        identity = server.issuer.identity
    old = [before.seed, before.check, *(each for e in before.epochs for each in wrapped_of(e))]
    new = Vault(bytes.fromhex(OTHER_KEY))
    assert all(each in bytes_in(world.folder) for each in old)

    async with KeyStore.open(world.database) as store:
        assert await rewrap(store, world.vault, new, tools(world))
        assert not await rewrap(store, world.vault, new, tools(world))
        after = await CopyStore(store).read(START)
    require_no_past(world.database)

    assert [each for each in old if each in bytes_in(world.folder)] == []
    for one, other in zip(before.epochs, after.epochs, strict=True):
        assert one.salt
        assert other.salt
        salt = world.vault.unwrap(Purpose.SALT, one.number, one.salt)
        assert new.unwrap(Purpose.SALT, one.number, other.salt) == salt
    world.vault = new
    async with world.open() as server:
        assert server.issuer.identity == identity
        (row,) = await server.store.notes(0, 9)
        assert (row.who, row.what) == ("milepost keys rewrap", "rewrap")


async def test_a_wrong_master_key_rewraps_nothing(world: World) -> None:
    """It is refused before the first value is touched."""
    async with world.open() as server:
        wrong, new = Vault(bytes(32)), Vault(bytes.fromhex(OTHER_KEY))
        with pytest.raises(ConfigError, match="MILEPOST_MASTER_KEY"):
            await rewrap(server.store, wrong, new, tools(world))
        after = await CopyStore(server.store).read(START)

    assert after.check == world.vault.check


def keys_that_open(database: Path, *masters: str) -> list[str]:
    """Return which of *masters* open the database, which must open whole or not at all."""
    connection = connect_read_only(database)
    try:
        ((seed, check),) = connection.execute("SELECT seed, master_check FROM meta").fetchall()
        rows = connection.execute("SELECT number, record_secret, address_secret, salt FROM epoch")
        wrapped = [(Purpose.IDENTITY, 0, seed)] + [
            (purpose, row[0], value)
            for row in rows
            for purpose, value in zip(
                (Purpose.RECORD, Purpose.ADDRESS, Purpose.SALT), row[1:], strict=True
            )
        ]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()
    found = []
    for master in masters:
        vault = Vault(bytes.fromhex(master))
        opened = sum(map(opens(vault), wrapped))
        assert opened in {0, len(wrapped)}, "some secrets under one key, some under the other"
        assert (opened > 0) == (check == vault.check)
        found += [master] if opened else []
    return found


def opens(vault: Vault) -> Any:
    """Return what tells whether *vault* unwraps a value."""

    def one(value: tuple[Purpose, int, bytes]) -> bool:
        try:
            vault.unwrap(*value)
        except ServiceError:
            return False
        return True

    return one


def many_epochs(database: Path) -> None:
    """Repeat the last epoch's row until a rewrap takes a while."""
    vault = Vault(bytes.fromhex(MASTER_KEY))
    connection = connect(database)
    rows = []
    for number in range(1_000, 1_000 + EPOCHS):
        nonce = number.to_bytes(24, "big")
        secrets = [
            vault.wrap(purpose, number, bytes(32), nonce)
            for purpose in (Purpose.RECORD, Purpose.ADDRESS, Purpose.SALT)
        ]
        rows.append((number, number, number + 1, bytes(32), bytes(32), *secrets))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO epoch (number, start_ms, end_ms, record_key, address_key, record_secret,"
        " address_secret, salt) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.execute("COMMIT")
    connection.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_rewrap_that_is_killed_leaves_exactly_one_master_key(tmp_path: Path) -> None:
    """At any of fifty random moments; typed again, it ends well."""
    folder, chance = tmp_path / "keys", random.Random(11)
    files = {MASTER_KEY: tmp_path / "old.key", OTHER_KEY: tmp_path / "new.key"}
    for key, path in files.items():
        path.write_text(key + "\n")
    assert run(environment(folder), "init").returncode == 0
    many_epochs(folder / FILE)
    held, other = MASTER_KEY, OTHER_KEY
    begun = time.monotonic()
    assert run(environment(folder), "rewrap", str(files[other])).returncode == 0
    whole = time.monotonic() - begun
    held, other = other, held
    changed = 0
    for _ in range(KILLS):
        env = environment(folder, MILEPOST_MASTER_KEY=held)
        command = [sys.executable, "-m", "key_server", "rewrap", str(files[other])]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
            time.sleep(whole * chance.uniform(0.5, 1.05))  # before, it is Python that starts
            process.send_signal(signal.SIGKILL)
        (opening,) = keys_that_open(folder / FILE, held, other)
        changed += opening == other
        if opening == other:
            held, other = other, held
    wal = folder / f"{FILE}-wal"  # a reader makes an empty one
    ended = run(environment(folder, MILEPOST_MASTER_KEY=held), "rewrap", str(files[other]))

    assert ended.returncode == 0, ended.stderr
    assert 0 < changed < KILLS, "no kill came in time, or each did"
    assert not wal.exists() or wal.stat().st_size == 0
    assert keys_that_open(folder / FILE, held, other) == [other]


@pytest.mark.slow
def test_init_makes_the_master_key_and_says_what_to_do(tmp_path: Path) -> None:
    """Its owner's alone, and never over one that is there."""
    folder, key = tmp_path / "keys", tmp_path / "master.key"
    env = environment(folder)
    del env["MILEPOST_MASTER_KEY"]
    made = run(env, "init", str(key))
    identity = orjson.loads(made.stdout)["identity"]
    again = run(env, "init", str(key))
    shutil.rmtree(folder)
    over = run(env, "init", str(key))
    twice = run(environment(folder), "init", str(tmp_path / "second.key"))

    assert made.returncode == 0
    assert f"MILEPOST_KEYS_IDENTITY={identity}\n" in made.stderr
    assert "somewhere else" in made.stderr
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key.read_text().strip())) == 32
    assert key.read_text().strip() not in made.stdout + made.stderr
    assert [each.returncode for each in (again, over, twice)] == [2, 2, 2]
    assert "rewrap" in again.stderr
    assert "stays as it is" in over.stderr
    assert "given already" in twice.stderr
    assert not (tmp_path / "second.key").exists()


@pytest.mark.slow
async def test_recover_as_a_command_names_the_cost(tmp_path: Path) -> None:
    """On standard output; a folder with keys in it is left alone."""
    world = World(tmp_path / "old", vault=Vault(bytes.fromhex(MASTER_KEY)))
    world.clock = MovableClock()
    world.copies = tmp_path / "copies"
    async with world.open() as server:
        made = await server.copier.make()
    copy, again = world.copies / made.name, tmp_path / "again"

    first = run(environment(again), "recover", str(copy))
    second = run(environment(again), "recover", str(copy))
    wrong = run(environment(tmp_path / "x", MILEPOST_MASTER_KEY=OTHER_KEY), "recover", str(copy))

    assert first.returncode == 0, first.stderr
    assert "can not be opened any more: whatever was sealed to epochs 51 to" in first.stdout
    assert "no receipts were given" in first.stdout
    assert [each.returncode for each in (second, wrong)] == [2, 2]
    assert "already" in second.stderr
    assert "another master key" in wrong.stderr
    assert first.stderr.count("\n") == 0
