"""Who kept everything opens nothing: an epoch's boxes from the moment that its receipts name.

Everything is kept: the edge's streams, every replica of them and of the combined
database as it was at each moment, the keys' database and whatever copies of it are left,
the master key, and the memory of whatever runs.
"""

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from key_server.copies.names import made_at, name_of
from milepost.receipts import Receipt, verify_receipt
from milepost.vocabulary import Millis
from tests.log.combined import aggregator, counted, log_dir
from tests.log.kit import Answers, Service, World, visit, visitors, world
from tests.log.sealed import (
    Boxes,
    Secrets,
    boxes_in,
    keys_in,
    keys_in_copy,
    opened_by,
    restored,
    wrapped_in,
)
from tests.log.search import encoded_needles, found_in_files, found_in_memory
from tests.log.test_log_addresses import learned_keys
from tests.log.test_log_epochs import LEFTOVERS_MAX
from tests.log.test_log_litestream import Beside, beside, held, replicated
from tests.log.test_log_rotation import allow, begin, click_some, heard, operator, post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DOOMED = 1
FORGET_SECONDS = 30.0
CLICKS = 25


@dataclass(slots=True)
class Kept:
    """What is kept at one moment."""

    boxes: Boxes = field(default_factory=Boxes)
    secrets: set[bytes] = field(default_factory=set)
    restored: int = 0  # boxes in restored replicas, the same one once for each moment
    copies: int = 0

    def of_copies(self, paths: Iterable[Path]) -> None:
        """Add what the copies of the keys hold."""
        for path in paths:
            self.copies += 1
            self.with_keys(keys_in_copy(path))

    def with_keys(self, found: dict[int, Secrets]) -> None:
        """Add what has been unwrapped."""
        self.secrets |= {secret for each in found.values() for secret in each.all}

    def opened(self, epoch: int) -> set[bytes]:
        """Try everything on everything of an epoch."""
        return opened_by(self.boxes.of(epoch), self.secrets)


def everything(running: World, out: Path) -> Kept:
    """Take all that there is, and restore each replica to each moment."""
    kept = Kept()
    kept.with_keys(keys_in(running.folder / "keys" / "keys.db"))
    kept.of_copies(copies_of(running))
    for path in log_dir(running).glob("*.db"):
        boxes_in(path, kept.boxes)
    boxes_in(running.folder / "combined" / "combined.db", kept.boxes)
    replicas = running.folder / "replicas"
    shutil.copytree(replicas, out / "replicas")  # as one has it who never deletes
    for replica in {path.parent.parent.parent for path in (out / "replicas").rglob("*.ltx")}:
        for restore in restored(replica, out / "restored" / replica.name):
            kept.restored += boxes_in(restore, kept.boxes)
    return kept


def copies_of(running: World) -> list[Path]:
    """Return the copies of the keys that are there."""
    return sorted((running.folder / "copies").glob("keys-*"))


async def come_without_a_salt(running: World, combined: Service, answers: Answers) -> None:
    """Have boxes of both kinds wait in the combined database: nobody can be asked for a key."""
    running.keys.stop()
    running.edge.start()
    combined.start()
    await asyncio.to_thread(running.edge.wait_live)
    await asyncio.to_thread(combined.wait_live)
    async with visitors() as session:
        for number in range(CLICKS):
            await visit(session, running.url, f"before/{number}", answers)
    await waiting(running)
    await asyncio.sleep(2.5)  # until the replica has them too
    await begin(running)


async def waiting(running: World) -> None:
    """Return when boxes wait in the combined database."""
    path = running.folder / "combined" / "combined.db"
    for _ in range(200):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        (sealed,) = connection.execute("SELECT count(*) FROM sealed").fetchone()
        (addressed,) = connection.execute("SELECT count(*) FROM address_box").fetchone()
        connection.close()
        if sealed and addressed:
            return
        await asyncio.sleep(0.05)
    pytest.fail("nothing waits in the combined database")


async def destroy(running: World) -> list[Receipt]:
    """Destroy both secrets of the epoch by hand; return the receipts."""
    found = []
    for what in ("salt", "record"):
        told = await post(
            running, "/v1/destroy", {"epoch": DOOMED, "what": what, "force_clicks": 0}
        )
        identity = bytes.fromhex(running.edge.env["MILEPOST_KEYS_IDENTITY"])
        found.append(verify_receipt(told["receipt"], identity))
    return found


async def let_the_copies_expire(running: World, receipts: list[Receipt]) -> None:
    """Bring the copies to the age that they have at the moment of the receipts.

    The age of a copy is the moment in its name, and nothing else; so each is renamed
    to a name that is as much older.  The deleting is the key server's own: it looks as
    soon as it starts.
    """
    assert running.keys.stop() == 0
    ahead = max(each.no_copy_after_ms for each in receipts) - round(time.time() * 1000)
    assert ahead > 0
    for path in copies_of(running):
        made = made_at(path.name)
        assert made
        path.rename(path.with_name(name_of(Millis(made - ahead))))
    old = {path.name for path in copies_of(running)}
    await begin(running)
    ends = time.monotonic() + FORGET_SECONDS
    while not (left := {path.name for path in copies_of(running)}) or left & old:
        assert time.monotonic() < ends, f"of {old} are left {left}"
        await asyncio.sleep(0.05)


def in_memory(services: Iterable[Service], needles: dict[str, bytes]) -> dict[str, int]:
    """Return what is found in the memory of each process."""
    found: dict[str, int] = {}
    for service in services:
        assert service.process
        for name, count in found_in_memory(service.process.pid, needles).items():
            found[f"{service.package}: {name}"] = count
    return found


async def known(service: Service, needles: dict[str, bytes]) -> None:
    """Wait until the process holds something of *needles*: the pauses of an edge grow."""
    ends = time.monotonic() + FORGET_SECONDS
    while not in_memory([service], needles):
        assert time.monotonic() < ends, "the search does not find what must be there"
        await asyncio.sleep(0.2)


async def forgotten(
    running: World, services: Iterable[Service], needles: dict[str, bytes], answers: Answers
) -> None:
    """Wait under load until no process holds any of *needles*.

    What is freed is not wiped: it goes as the memory is used again.  A few copies of the text
    in which a secret came may outlast that, as they do in the tests of epochs.
    """
    ends = time.monotonic() + FORGET_SECONDS
    while found := in_memory(services, needles):
        texts = {name for name in found if "hex" in name.lower()}
        if found.keys() == texts and sum(found.values()) <= LEFTOVERS_MAX:
            return
        assert time.monotonic() < ends, found
        await click_some(running, answers, "after")
        async with operator(running) as client:
            for path in ("/v1/states", "/v1/audit", "/v1/receipts"):
                await client.get(path)


def bare_needles(secrets: Secrets) -> dict[str, bytes]:
    """Return what to look for of an epoch."""
    found: dict[str, bytes] = {}
    names = ("record key", "address key", "salt")
    for name, secret in zip(names, secrets.all, strict=True):
        found |= encoded_needles(name, secret)
    return found


async def said_of(running: World) -> dict[str, Any]:
    """Ask what the key server has of the epoch."""
    async with operator(running) as client:
        states = (await client.get("/v1/states"))["epochs"]
    return next(dict(each) for each in states if each["epoch"] == DOOMED)


async def test_who_kept_everything_opens_nothing(tmp_path: Path) -> None:
    """Not one box, by any secret that any state of the keys and the master key yield.

    Before the destruction the same hands open every box, and the same search finds the
    secrets in memory, so the test can fail.  What was opened in time stays counted.
    """
    answers = Answers()
    with world(tmp_path, ADDRESSES="all", ACCEPT_BUDGET_MS="60000") as running:
        running.keys.env |= {
            "MILEPOST_KEYS_BACKUP": str(tmp_path / "copies"),
            "MILEPOST_KEYS_BACKUP_DAYS": "1",
        }
        combined = aggregator(running, [running.edge])
        await allow(running)
        await learned_keys(running)
        replicas = tmp_path / "replicas"
        async with replicated(running) as one, beside(combined, replicas / "combined") as two:
            try:
                await come_without_a_salt(running, combined, answers)
                await judge(running, combined, (one, two), answers)
            finally:
                combined.kill()


async def judge(
    running: World, combined: Service, both: tuple[Beside, Beside], answers: Answers
) -> None:
    """Open everything, destroy, let time pass, and open nothing."""
    services, keys_db = (running.edge, combined, running.keys), running.folder / "keys" / "keys.db"
    for each in both:
        await held(each, 1)
    secrets, wrapped = keys_in(keys_db)[DOOMED], wrapped_in(keys_db, DOOMED)
    needles = bare_needles(secrets)
    await known(running.edge, {"salt": secrets.salt or b""})
    await click_some(running, answers, "during")
    early = [path for path in answers.redirected if "/before/" in path or "/during/" in path]
    assert set(early) <= (await counted(combined, early)).keys()
    await post(running, "/v1/backup")
    assert len(secrets.all) == len(wrapped) == 3
    before = await asyncio.to_thread(everything, running, running.folder / "before")
    doomed = before.boxes.of(DOOMED)
    assert before.opened(DOOMED) == doomed
    assert before.boxes.records[DOOMED]
    assert len(before.boxes.addresses[DOOMED]) >= CLICKS // 2
    assert before.copies >= 2
    assert before.restored
    a_copy = keys_in_copy(copies_of(running)[0])[DOOMED]  # one that stayed would do
    assert opened_by(doomed, a_copy.all) == doomed
    assert {"aggregator: record key raw", "regional_logger: salt raw"} <= in_memory(
        services, needles
    ).keys()
    lying = {f"wrapped {number}": each for number, each in enumerate(wrapped)}
    assert found_in_files(running.folder, lying).keys() == lying.keys()

    told = await post(running, "/v1/rotate")
    await heard(running, told["version"])
    await click_some(running, answers, "after")
    receipts = await destroy(running)
    await forgotten(running, services[:2], needles | lying, answers)
    await let_the_copies_expire(running, receipts)
    # The key server has been started again: what its own freed memory held ended with it.
    assert in_memory([running.keys], needles | lying) == {}
    after = await asyncio.to_thread(everything, running, running.folder / "after")

    assert after.copies >= 1
    assert after.restored > before.restored
    assert after.boxes.of(DOOMED) >= doomed
    assert opened_by(after.boxes.of(DOOMED) | doomed, after.secrets) == set()
    assert not after.secrets & set(secrets.all)
    assert after.opened(DOOMED + 1) == after.boxes.of(DOOMED + 1) != set()
    state = await said_of(running)
    assert state["salt_gone_ms"]
    assert state["record_gone_ms"]
    assert found_in_files(running.folder, needles | lying) == {}
    assert set(early) <= (await counted(combined, early)).keys()
