"""Rotations by hand, and recoveries of the key server, as real edges see them."""

import asyncio
import contextlib
import itertools
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import NotFoundError
from milepost.tokens import (
    AGGREGATOR_SCOPES,
    EDGE_SCOPES,
    KEYS_READ,
    KEYS_WRITE,
    tokens_document,
)
from milepost.vocabulary import Epoch
from tests.log.combined import aggregator, second_edge
from tests.log.counted import ending, judge_counted, judge_visitors, salts_held, settled
from tests.log.kit import (
    EDGE_TOKEN,
    READER_TOKEN,
    Answers,
    Log,
    World,
    clean_env,
    read_log,
    stream_batches,
    visit,
    visitors,
    world,
)
from tests.log.test_log_epochs import records_by_epoch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEYS_TOKEN = "milepost_" + "b" * 64
ROTATIONS = 10
HEARD_SECONDS = 2.0
SETTLE_SECONDS = 30.0
PATIENT_MS = "60000"


@contextlib.asynccontextmanager
async def clicking(running: World, answers: Answers, part: str) -> AsyncIterator[None]:
    """Load the edge for as long as the block runs."""
    stop = asyncio.Event()

    async def load() -> None:
        async with visitors(fresh=True) as session:
            for number in itertools.count():
                names = [f"{part}/{number}/{each}" for each in range(4)]
                await asyncio.gather(*(visit(session, running.url, n, answers) for n in names))
                if stop.is_set():
                    return
                await asyncio.sleep(0.005)

    task = asyncio.create_task(load())
    try:
        yield
    finally:
        stop.set()
        await task


async def allow(running: World) -> None:
    """Let the operator's token call the key server too."""
    await asyncio.to_thread(
        Path(running.edge.env["MILEPOST_TOKENS_FILE"]).write_bytes,
        tokens_document(
            [
                ("edge", EDGE_SCOPES, EDGE_TOKEN),
                ("reader", AGGREGATOR_SCOPES, READER_TOKEN),
                ("operator", (KEYS_READ, KEYS_WRITE), KEYS_TOKEN),
            ]
        ),
    )
    running.keys.stop()
    await begin(running)


async def begin(running: World) -> None:
    """Start the key server and wait for it."""
    running.keys.start()
    await asyncio.to_thread(running.keys.wait_live)


@contextlib.asynccontextmanager
async def operator(running: World) -> AsyncIterator[Client]:
    """Lend a client of the key server that shows its operator's token."""
    url = f"http://127.0.0.1:{running.keys.private_port}"
    async with Client.connect(url, Secret(KEYS_TOKEN)) as client:
        yield client


async def post(running: World, path: str, body: Any = None) -> Any:
    """POST to the key server as its operator."""
    async with operator(running) as client:
        return await client.post(path, body or {})


def lists_taken(running: World) -> set[int]:
    """Return the versions of the lists that the edge has taken, by its log."""
    lines = running.edge.log.read_text().splitlines()
    return {
        int(match[1])
        for line in lines
        if '"keys.list_taken"' in line and (match := re.search(r'"version": (\d+)', line))
    }


async def heard(running: World, version: int) -> float:
    """Wait until the edge has taken this list; return how many seconds that took."""
    begun = time.monotonic()
    while version not in lists_taken(running):
        assert time.monotonic() - begun < HEARD_SECONDS, "the edge has not heard"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def started(running: World) -> None:
    """Start the edge and wait until it answers."""
    running.edge.start()
    await asyncio.to_thread(running.edge.wait_live)


async def test_ten_rotations_by_hand_under_load(tmp_path: Path) -> None:
    """Each is heard within moments, the new salt with it, and each hit fits its epoch."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS) as one:
        other = second_edge(one, "other")
        other.edge.env["MILEPOST_WORKERS"] = "2"
        combined = aggregator(one, [one.edge, other.edge])
        await allow(one)
        with ending(other.edge, combined):
            combined.start()
            await asyncio.gather(started(one), started(other))
            await asyncio.sleep(2)
            async with clicking(one, answers, "one"), clicking(other, answers, "other"):
                began = [await rotated(one, other) for _ in range(ROTATIONS)]
            await settled(one, len(answers.redirected), SETTLE_SECONDS)
            assert (one.edge.stop(), other.edge.stop()) == (0, 0)
            logs = [await read_log(one), await read_log(other)]
            found = judge_counted(one, logs, answers)

        assert began == list(range(2, ROTATIONS + 2))
        assert judge_visitors(found, salts_held(one)) == []
        for log in logs:
            records = await records_by_epoch(one, log)
            assert set(records) == set(range(1, ROTATIONS + 2))
            for epoch, each in records.items():
                hashed = sum(record.visitor is not None for record in each)
                assert hashed >= len(each) * 0.95, f"epoch {epoch}: {hashed} of {len(each)}"


async def rotated(one: World, other: World) -> Epoch:
    """End the current epoch; return the next one when both edges have heard, and used it."""
    told = await post(one, "/v1/rotate")
    await asyncio.gather(heard(one, told["version"]), heard(other, told["version"]))
    await asyncio.sleep(1.0)
    return Epoch(told["epoch"])


def keys_command(running: World, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an offline command of the key server on *data*, as `milepost keys` does."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "milepost", "keys", *words],
        env=clean_env() | running.keys.env | {"MILEPOST_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def click_some(running: World, answers: Answers, part: str) -> None:
    """Click a few times, and let that be on disk."""
    async with clicking(running, answers, part):
        await asyncio.sleep(0.5)


async def test_keys_recovered_from_a_copy_serve_the_same_edge(tmp_path: Path) -> None:
    """It takes the new list by itself; what nobody can open any more is named by number."""
    answers, copies = Answers(), tmp_path / "copies"
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS) as running:
        await allow(running)
        await started(running)
        await click_some(running, answers, "before")
        copy = copies / (await post(running, "/v1/backup", {"to": str(copies)}))["name"]
        for part in ("known", "unknown"):  # the copy holds the first of them, and not the last
            for _ in range(0 if part == "known" else 54):
                await post(running, "/v1/rotate")
                await asyncio.sleep(0.002)
            told = await post(running, "/v1/rotate")
            await heard(running, told["version"])
            await asyncio.sleep(0.5)
            await click_some(running, answers, part)
        assert running.keys.stop() == 0
        shutil.move(tmp_path / "keys", tmp_path / "lost")
        done = await asyncio.to_thread(
            keys_command, running, tmp_path / "keys", "recover", "--from", str(copy)
        )
        assert done.returncode == 0, done.stderr
        await begin(running)
        await edge_follows(running)
        await click_some(running, answers, "recovered")
        assert running.edge.stop() == 0
        sealed = await opened_by_part(running)

    first, last = map(int, re.findall(r"epochs (\d+) to (\d+), made after", done.stdout)[0])
    assert {"before", "known", "recovered"} <= set(sealed["open"])
    assert "unknown" not in sealed["open"]
    assert sealed["lost"]
    assert all(first <= epoch <= last for epoch in sealed["lost"])
    assert min(sealed["recovered"]) > last
    assert answers.other == {}


async def edge_follows(running: World) -> None:
    """Wait until the edge has taken a list of the recovered server, and its salt."""
    before = len(lists_taken(running))
    ends = time.monotonic() + 20
    while len(lists_taken(running)) == before:
        assert time.monotonic() < ends, "the edge did not take the list"
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)


async def opened_by_part(running: World) -> dict[str, Any]:
    """Open every batch that can be; tell which parts are there, and which epochs are lost."""
    url = f"http://127.0.0.1:{running.keys.private_port}"
    lost: set[int] = set()
    batches = unopened_log(running)
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        for epoch in {batch.header.epoch for batch in batches.values()}:
            try:
                await client.get(f"/v1/epochs/{epoch}/record-key")
            except NotFoundError:
                lost.add(epoch)
    kept = {name: batch for name, batch in batches.items() if batch.header.epoch not in lost}
    records = await records_by_epoch(running, Log(kept, [], [], 0, 0))
    parts: dict[str, set[int]] = {}
    for epoch, found in records.items():
        for record in found:
            parts.setdefault(record.path.split("/")[3], set()).add(epoch)
    return {"open": parts, "lost": lost, "recovered": sorted(parts.get("recovered", ()))}


def unopened_log(running: World) -> dict[Any, Any]:
    """Return every batch on the folder, sealed as it is."""
    return {
        batch.header.batch: batch
        for path in sorted(running.log_dir.glob("*.db"))
        for batch in stream_batches(path)
        if batch.records
    }
