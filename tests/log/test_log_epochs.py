"""Epochs that end under load: each record under its own salt, and no old salt left anywhere."""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.record import Record
from milepost.seal import open_body
from milepost.visitor import visitor_hash
from milepost.vocabulary import Epoch, Millis, Salt
from tests.log.combined import aggregator
from tests.log.kit import (
    EDGE_TOKEN,
    READER_TOKEN,
    Answers,
    Log,
    Service,
    World,
    free_port,
    read_log,
    visit,
    visitors,
    world,
)
from tests.log.search import found_in_files, found_in_memory, secret_needles
from tests.log.test_log_litestream import held, replicated

pytestmark = pytest.mark.slow

EPOCH_SECONDS = 2
CHANGES = 10
FORGET_SECONDS = 5.0
LEFTOVERS_MAX = 3  # a keyring that kept its salts would leave one per change
SERVICES = ("regional_logger", "key_server", "aggregator", "link_registry")


@dataclass(frozen=True, slots=True)
class Issued:
    """A salt as the key server gave it out, and when its epoch is over."""

    end_ms: Millis
    salt: Salt


@contextlib.asynccontextmanager
async def watching_salts(running: World) -> AsyncIterator[dict[Epoch, Issued]]:
    """Ask the key server again and again, as an edge would; keep all that it gave."""
    issued: dict[Epoch, Issued] = {}

    async def watch() -> None:
        url = f"http://127.0.0.1:{running.keys.private_port}"
        async with Client.connect(url, Secret(EDGE_TOKEN)) as client:
            while True:
                told: dict[str, Any] = await client.get("/v1/salts")
                for each in told["salts"]:
                    salt = Salt(bytes.fromhex(each["salt"]))
                    issued[each["epoch"]] = Issued(Millis(each["end_ms"]), salt)
                await asyncio.sleep(0.25)

    task = asyncio.create_task(watch())
    try:
        yield issued
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def click_for(running: World, answers: Answers, seconds: float) -> None:
    """Click without a pause, a few at a time."""
    ends = time.monotonic() + seconds
    async with visitors() as session:
        for number in itertools.count():
            names = [f"{number}/{each}" for each in range(4)]
            await asyncio.gather(*(visit(session, running.url, name, answers) for name in names))
            if time.monotonic() > ends:
                return


def needles_of(issued: dict[Epoch, Issued], *, ended_ms: float) -> dict[str, bytes]:
    """Return what to look for: the salts of those epochs that were over at *ended_ms*."""
    found: dict[str, bytes] = {}
    for epoch, each in issued.items():
        if each.end_ms <= ended_ms:
            found |= secret_needles(f"salt {epoch}", each.salt)
    return found


async def forgotten(running: World, issued: dict[Epoch, Issued], *, form: str = "") -> int:
    """Wait until old salts, of epochs that ended more than one ago, have left the edge's memory.

    What is freed is used again soon, but when is chance, so a few may be found in
    freed memory; what is held stays, and would be all of them.  Returns how many
    were looked for.
    """
    process = running.edge.process
    assert process
    needles = needles_of(issued, ended_ms=(time.time() - EPOCH_SECONDS) * 1000)
    wanted = {name: needle for name, needle in needles.items() if name.endswith(form)}
    ends = time.monotonic() + FORGET_SECONDS
    while len(found := found_in_memory(process.pid, wanted)) > LEFTOVERS_MAX:
        assert time.monotonic() < ends, found
        await asyncio.sleep(0.2)
    return len(needles) // 2


async def records_by_epoch(running: World, log: Log) -> dict[Epoch, list[Record]]:
    """Open every batch with the key of the epoch that it names, and with no other."""
    found: dict[Epoch, list[Record]] = {}
    url = f"http://127.0.0.1:{running.keys.private_port}"
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        keys: dict[Epoch, dict[str, Any]] = {}
        for batch in log.batches.values():
            epoch = batch.header.epoch
            if not batch.records:
                continue
            if epoch not in keys:
                keys[epoch] = await client.get(f"/v1/epochs/{epoch}/record-key")
            assert batch.header.key.hex() == keys[epoch]["key"]
            secret = bytes.fromhex(keys[epoch]["record_key"])
            found.setdefault(epoch, []).extend(
                open_body(batch.header, batch.records, secret).records
            )
    return found


def judge_hashes(records: dict[Epoch, list[Record]], issued: dict[Epoch, Issued]) -> None:
    """Each record counts its visitor under the salt of its batch's epoch, and of its own time."""
    for epoch, found in records.items():
        told = issued[epoch]
        assert {record.visitor for record in found} == {visitor_hash(told.salt, "127.0.0.1")}
        assert all(record.time < told.end_ms for record in found)
        assert all(record.time >= told.end_ms - EPOCH_SECONDS * 1000 for record in found)


async def test_ten_epochs_end_under_load_and_leave_nothing_behind(tmp_path: Path) -> None:
    """No record is lost or under another epoch's salt, and afterwards no old salt is anywhere.

    All memory that the edge can read is searched, freed memory included.  The HTTP
    client's buffers and the parsed JSON hold a salt in hex, and CPython frees them
    without wiping.  So what holds is this: nothing keeps an old salt, under load
    its copies are overwritten within moments, and on an idle edge nothing is left
    but freed text that was once received.
    """
    answers = Answers()
    seconds = EPOCH_SECONDS * (CHANGES + 1) + FORGET_SECONDS
    with world(tmp_path, EPOCH=f"{EPOCH_SECONDS}s") as running:
        async with replicated(running) as beside, watching_salts(running) as issued:
            running.edge.start()
            await asyncio.to_thread(running.edge.wait_live)
            await held(beside, 1)
            await has_salt(running, issued)
            load = asyncio.create_task(click_for(running, answers, seconds))
            await asyncio.sleep(EPOCH_SECONDS * (CHANGES + 1))
            assert await forgotten(running, issued) >= CHANGES - 2
            await load
            await asyncio.sleep(EPOCH_SECONDS * 3)
            assert await forgotten(running, issued, form="raw") >= CHANGES + 1
            assert running.edge.stop() == 0
            log = await read_log(running)
            records = await records_by_epoch(running, log)
            judge_hashes(records, issued)
            everything = needles_of(issued, ended_ms=float("inf"))

    assert found_in_files(tmp_path, everything) == {}, "a salt is on a disk"
    assert any((tmp_path / "replicas").rglob("*.ltx")), "nothing was replicated"
    assert len(records) > CHANGES
    assert answers.other == {}
    assert answers.unanswered == 0
    assert log.paths == dict.fromkeys(answers.redirected, 1)


async def has_salt(running: World, issued: dict[Epoch, Issued]) -> None:
    """Wait until the edge's memory holds a salt: the search does find what is there."""
    process = running.edge.process
    assert process
    for _ in range(100):
        if any(found_in_memory(process.pid, needles_of(issued, ended_ms=float("inf")))):
            return
        await asyncio.sleep(0.05)
    msg = "no salt was found in the edge, where one must be"
    raise AssertionError(msg)


WITH_CORES = ("sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh")


@pytest.mark.parametrize("package", SERVICES)
async def test_no_service_leaves_a_core_file(tmp_path: Path, package: str) -> None:
    """A core file would put salts and keys on a disk, whatever the surroundings allow."""
    with world(tmp_path) as running:
        service = service_of(running, package)
        service.prefix = WITH_CORES
        service.start()
        try:
            await asyncio.to_thread(service.wait_live)
            assert service.process
            limits = core_limits(service.process.pid)
        finally:
            service.kill()

    assert limits == ("0", "0")


def core_limits(pid: int) -> tuple[str, str]:
    """Return how large a core file of *pid* may be, and may be made to be."""
    text = Path(f"/proc/{pid}/limits").read_text()
    match = re.search(r"Max core file size +(\S+) +(\S+)", text)
    assert match
    return match[1], match[2]


def service_of(running: World, package: str) -> Service:
    """Return a service of each kind, not started yet."""
    if package == "regional_logger":
        return running.edge
    if package == "key_server":
        running.keys.stop()
        return running.keys
    if package == "aggregator":
        return aggregator(running, [running.edge])
    port = free_port()
    env = {
        "MILEPOST_DATA": str(running.folder / "links"),
        "MILEPOST_TOKENS_FILE": running.edge.env["MILEPOST_TOKENS_FILE"],
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{port}",
    }
    return Service("link_registry", env, running.folder / "links.log", port)
