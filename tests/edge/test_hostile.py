"""A real edge, with and without workers, and every hostile request there is."""

import asyncio
import os
import re
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from regional_logger.longway import REQUEST_SECONDS
from tests.edge.hostile import Hostile, get, unfinished, whole
from tests.edge.raw import Raw, ask_raw, connected, read_head
from tests.log.kit import World, world
from tests.log.search import address_needles, found_in_files

pytestmark = pytest.mark.slow

ADDRESS = "127.66.1.2"
ANSWER_SECONDS, END_SECONDS = 1.0, 10.0
AT_ONCE = 4
GROWTH_BYTES_MAX = 40_000_000
HALF_OPEN = 2_000


@pytest.fixture(params=["1", "2"], ids=["alone", "workers"], scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    """Run an edge; see at the end that its log names nobody and nothing went wrong in it."""
    with world(tmp_path_factory.mktemp("edge"), WORKERS=request.param) as made:
        made.edge.start()
        made.edge.wait_live()
        yield made
        assert made.edge.process is not None
        assert made.edge.process.poll() is None
        log = made.edge.log.read_text()
        assert "Traceback" not in log
        assert not re.search(r'"level": "(error|critical)"', log)
        needles = address_needles(ADDRESS)
        found = found_in_files(made.folder, needles)
        assert not {name for name, count in found.items() if count > 1 or len(needles[name]) > 4}


def memory_of(running: World) -> int:
    """Return the bytes that the edge's processes have in memory."""
    assert running.edge.process is not None
    pid = running.edge.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(
        int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (pid, *children)
    )
    return pages * os.sysconf("SC_PAGE_SIZE")


async def check(running: World, case: Hostile) -> None:
    """Send what is whole: it is answered at once, with nothing in the answer but ours."""
    answer, seconds = await ask_raw(running.public_port, case.data, ADDRESS)

    assert answer.status in case.statuses, (case.name, answer)
    assert seconds < ANSWER_SECONDS, (case.name, seconds)
    if case.location is not None:
        assert answer.headers[b"location"] == case.location, case.name


async def check_all(running: World, cases: list[Hostile]) -> None:
    """Check several at a time."""
    left = iter(cases)

    async def some() -> None:
        for case in left:
            await check(running, case)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def test_whatever_is_whole_is_answered(running: World) -> None:
    """With the status that it deserves, within a second, and for no more memory than that."""
    cases = whole()
    assert len(cases) > 2_000
    assert len({case.name for case in cases}) == len(cases)
    await check_all(running, cases)  # fills every cache and pool
    before = memory_of(running)
    for _ in range(3):
        await check_all(running, cases)

    assert memory_of(running) - before < GROWTH_BYTES_MAX


async def test_whatever_is_not_whole_is_ended(running: World) -> None:
    """Within ten seconds, and each answer on the way is a sound one."""

    async def end(case: Hostile) -> None:
        async with connected(running.public_port, ADDRESS) as raw:
            await raw.send(case.data)
            rest = await asyncio.wait_for(raw.rest(), END_SECONDS)
        for head in rest.split(b"\r\n\r\n")[:-1]:
            status, _ = read_head(b"HTTP/" + head.partition(b"HTTP/")[2])
            assert status in (302, 408), case.name

    async def trickle(piece: bytes, then: bytes) -> None:
        async with connected(running.public_port, ADDRESS) as raw:
            ending = asyncio.create_task(raw.rest())
            ends = time.monotonic() + END_SECONDS
            await raw.send(piece)
            while not ending.done():
                assert time.monotonic() < ends, piece
                await raw.send(then)
                await asyncio.sleep(0.1)

    trickles = (
        *((b"G", b"E"), (get()[:-2], b"X: y\r\n"), (b"", b"\r\n"), (get()[:-2] + b"X: ", b"a")),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n", b"a"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    )
    await asyncio.gather(
        *(end(case) for case in unfinished()), *(trickle(*each) for each in trickles)
    )


async def test_who_never_reads_is_ended(running: World) -> None:
    """And while it lasts, what is kept for such a visitor is bounded."""
    before = memory_of(running)
    async with connected(running.public_port, ADDRESS) as raw:
        flood = asyncio.create_task(raw.send(get(b"/robots.txt") * 1_000_000))
        begun = time.monotonic()
        while not flood.done():
            assert time.monotonic() - begun < 45
            assert memory_of(running) - before < GROWTH_BYTES_MAX
            await asyncio.sleep(0.2)

        assert time.monotonic() - begun > REQUEST_SECONDS  # it was not simply swallowed


async def median_seconds(port: int, count: int = 200) -> float:
    """Return how long a good request takes, over a connection of its own."""
    return statistics.median([(await ask_raw(port, get()))[1] for _ in range(count)])


async def half_open(stack: AsyncExitStack, port: int, number: int) -> Raw:
    """Begin a request and leave it."""
    raw = await stack.enter_async_context(connected(port, ADDRESS))
    await raw.send(get()[: number % len(get())])
    return raw


async def test_a_crowd_of_half_open_connections_costs_nobody_else(running: World) -> None:
    """A good request takes as long as ever, and within ten seconds the crowd is gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < HALF_OPEN * 2:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    port = running.public_port
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        before = await median_seconds(port)
        async with AsyncExitStack() as stack:
            raws = [await half_open(stack, port, number) for number in range(HALF_OPEN)]
            made = time.monotonic()
            rests = [asyncio.create_task(raw.rest()) for raw in raws]
            during = await median_seconds(port)
            there = sum(not each.done() for each in rests)
            worst = 0.0
            while not all(each.done() for each in rests):
                worst = max(worst, (await ask_raw(port, get()))[1])
                await asyncio.sleep(0.01)
            ended = time.monotonic()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    print(f"before {before:.4f} during {during:.4f} worst {worst:.4f}")  # noqa: T201 - for -s
    assert there > HALF_OPEN / 2  # so that it was a crowd that cost nobody anything
    assert ended - made < END_SECONDS
    assert during < before * 5 + 0.05
    assert worst < ANSWER_SECONDS
