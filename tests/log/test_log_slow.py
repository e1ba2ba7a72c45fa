"""A slow disk and busy readers: the visitor waits for the budget, the writer for nobody."""

import asyncio
import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import UnavailableError
from milepost.sqlite import connect_read_only
from milepost.stream.files import is_open
from milepost.vocabulary import Generation, StreamId
from milepost.wire import Cursor, PullAnswer, PullRequest, parse_answer
from tests.log.combined import log_dir
from tests.log.kit import (
    READER_TOKEN,
    Answers,
    World,
    read_log,
    visit,
    visit_many,
    visitors,
    world,
)
from tests.log.test_log_disk import faults_in

pytestmark = pytest.mark.slow

BUDGET_SECONDS = 0.05  # as it is by default
SYNC_MICROSECONDS = 120_000
PULLERS = 8
WINDOW_SECONDS = 3.0
LONGEST_SECONDS = 1.0
LARGE_LIMIT_BYTES = 16 << 20


async def timed_visits(running: World, part: int, answers: Answers) -> list[float]:
    """Click a few times, one after another; return how long each answer took."""
    took = []
    async with visitors() as session:
        for number in range(30):
            begun = time.monotonic()
            await visit(session, running.url, f"{part}/{number}", answers)
            took.append(time.monotonic() - begun)
    return took


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that *part* of *values* do not exceed."""
    return sorted(values)[int(part * (len(values) - 1))]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs the Debian package strace")
async def test_a_slow_disk_costs_the_budget_and_no_more(tmp_path: Path) -> None:
    """Every sync takes more than twice the budget: all go first, and all are recorded late."""
    answers = Answers()
    trace = tmp_path / "trace"
    calls = "fsync,fdatasync"
    with world(tmp_path) as running:
        running.edge.prefix = (
            *("strace", "-f", "-y", "-qq", "-o", str(trace), "-e", f"trace={calls}"),
            *("-e", f"inject={calls}:delay_enter={SYNC_MICROSECONDS}"),
        )
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        await visit_many(running, ["first"], answers)  # connections and caches are warm now
        parts = await asyncio.gather(*(timed_visits(running, each, answers) for each in range(6)))
        assert running.edge.stop() == 0
        log = await read_log(running)

    took = [each for part in parts for each in part]
    assert trace.read_text().count("DELAYED") or faults_in(trace)
    assert answers.unanswered == 0
    assert answers.other == {}
    assert log.paths == dict.fromkeys(answers.redirected, 1)
    assert log.tally.late == log.tally.recorded == log.meter.accepted == len(answers.redirected)
    assert log.meter.shed == 0
    assert percentile(took, 0.5) < 2 * BUDGET_SECONDS
    assert percentile(took, 0.95) < 4 * BUDGET_SECONDS
    assert percentile(took, 0.5) >= BUDGET_SECONDS


@asynccontextmanager
async def edge_client(running: World) -> AsyncIterator[Client]:
    """Lend what pulls from the edge."""
    url = f"http://127.0.0.1:{running.edge.private_port}"
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        yield client


async def pull(
    client: Client, cursors: dict[StreamId, Cursor], *, limit_bytes: int = 1 << 22
) -> PullAnswer:
    """Pull once; move *cursors* on."""
    request = PullRequest(
        reader="test",
        generation=Generation(1),
        cursors=cursors,
        limit_bytes=limit_bytes,
        wait_ms=0,
    )
    answer = parse_answer(await client.post("/v1/pull", request.to_json()))
    for batch in answer.batches:
        cursors[batch.header.stream] = Cursor(batch.header.seq, batch.chain)
    return answer


async def pull_on_and_on(running: World) -> int:
    """Pull everything from its beginning, and then again; return how many answers came."""
    answers = 0
    cursors: dict[StreamId, Cursor] = {}
    async with edge_client(running) as client:
        try:
            while True:
                try:
                    answer = await pull(client, cursors)
                except UnavailableError:  # one of the others of before is still at it
                    await asyncio.sleep(0.01)
                    continue
                answers += 1
                if not answer.more:
                    cursors.clear()
        except asyncio.CancelledError:
            return answers


def open_stream(running: World) -> Path:
    """Return the stream that is being written."""
    return next(path for path in log_dir(running).glob("*.db") if is_open(path))


def last_seq(path: Path) -> int:
    """Return how many batches a stream has."""
    connection = connect_read_only(path)
    try:
        (seq,) = connection.execute("SELECT max(seq) FROM batch").fetchone()
        return int(seq or 0)
    finally:
        connection.close()


async def clicking(running: World, part: str, answers: Answers, took: list[float]) -> None:
    """Click one after another until cancelled; note how long each takes."""
    async with visitors() as session:
        number = 0
        while True:
            begun = time.monotonic()
            await visit(session, running.url, f"{part}/{number}", answers)
            took.append(time.monotonic() - begun)
            number += 1


async def ended(tasks: Sequence[asyncio.Task[object]]) -> list[object]:
    """Cancel *tasks*; return what they came to."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def commits_in_a_window(running: World, seconds: float) -> int:
    """Count the commits of the next *seconds*."""
    path = open_stream(running)
    before = last_seq(path)
    await asyncio.sleep(seconds)
    return last_seq(path) - before


async def test_pulls_never_hold_the_writer(tmp_path: Path) -> None:
    """Eight readers take all there is, again and again, and commits go on among them."""
    answers, took, slow = Answers(), list[float](), list[float]()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        await visit_many(running, [f"fill/{number}" for number in range(3_000)], answers)
        alone_task = asyncio.create_task(clicking(running, "alone", answers, took))
        alone = await commits_in_a_window(running, WINDOW_SECONDS)
        await ended([alone_task])
        pulls = [asyncio.create_task(pull_on_and_on(running)) for _ in range(PULLERS)]
        beside_task = asyncio.create_task(clicking(running, "beside", answers, slow))
        beside = await commits_in_a_window(running, WINDOW_SECONDS)
        await ended([beside_task])
        pulled = await ended(pulls)
        log = await read_log(running)

    assert all(isinstance(each, int) and each >= 2 for each in pulled)
    assert answers.other == {}
    assert set(answers.redirected) <= set(log.paths)
    assert log.tally.late == 0
    assert beside * 50 > alone, "they share the CPU, and nothing else"
    assert percentile(slow, 0.99) < LONGEST_SECONDS


def ask_and_never_read(running: World) -> socket.socket:
    """Pull all that there is, and leave the answer where it is."""
    request = PullRequest(reader="stalled", generation=Generation(1), limit_bytes=LARGE_LIMIT_BYTES)
    body = json.dumps(request.to_json()).encode()
    head = (
        "POST /v1/pull HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {READER_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    asking = socket.create_connection(("127.0.0.1", running.edge.private_port))
    asking.sendall(head.encode() + body)
    return asking


async def test_readers_that_stall_hold_nobody(tmp_path: Path) -> None:
    """Those who ask for everything and never read it: commits and other pulls go on."""
    answers, took = Answers(), list[float]()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        names = [f"{number}/{os.urandom(700).hex()}" for number in range(3_000)]
        await visit_many(running, names, answers)
        stalled = [ask_and_never_read(running) for _ in range(2 * PULLERS)]
        load = asyncio.create_task(clicking(running, "beside", answers, took))
        commits = await commits_in_a_window(running, WINDOW_SECONDS)
        async with edge_client(running) as client:
            cursors: dict[StreamId, Cursor] = {}
            while (await pull(client, cursors)).more:
                pass
        await ended([load])
        for asking in stalled:
            asking.close()
        log = await read_log(running)

    assert commits > 20
    assert percentile(took, 0.99) < LONGEST_SECONDS
    assert sum(at.seq for at in cursors.values()) >= commits
    assert set(answers.redirected) <= set(log.paths)
    assert answers.other == {}


async def test_every_stream_gets_its_turn(tmp_path: Path) -> None:
    """One large stream, many small ones and one that grows: none waits for another to be empty."""
    answers = Answers()
    dead = 14
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        for part in range(dead):
            running.edge.start()
            await asyncio.to_thread(running.edge.wait_live)
            count = 800 if part == 0 else 20
            names = [f"{part}/{number}/{'x' * 200}" for number in range(count)]
            await visit_many(running, names, answers)
            running.edge.kill()
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        load = asyncio.create_task(clicking(running, "load", answers, []))
        await asyncio.sleep(0.5)
        async with edge_client(running) as client:
            cursors: dict[StreamId, Cursor] = {}
            first_turn: dict[StreamId, int] = {}
            answer = await pull(client, cursors, limit_bytes=2_000)
            for turn in range(dead + 1):
                for batch in answer.batches:
                    first_turn.setdefault(batch.header.stream, turn)
                answer = await pull(client, cursors, limit_bytes=2_000)
            behind = {head.id for head in answer.streams} - first_turn.keys()
            while answer.more:
                answer = await pull(client, cursors)
            await ended([load])
            while (await pull(client, cursors)).batches:
                pass
        log = await read_log(running)

    assert not behind
    assert len(first_turn) == dead + 1
    assert Counter({stream: at.seq for stream, at in cursors.items()}) == Counter(
        batch.header.stream for batch in log.batches.values()
    )
    assert set(answers.redirected) <= set(log.paths)
