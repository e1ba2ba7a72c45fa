"""A hundred thousand links, real processes: how soon, how much memory, and what a restart finds."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tests.edge.links_fleet import (
    MANY,
    Fleet,
    fill,
    fleet,
    many_links,
    memory_of,
    registry_of,
    until,
)
from tests.log.test_log_workers import workers_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS_MAX, MEMORY_MAX, GATEKEEPER_MAX = 10.0, 150_000_000, 256_000
FOUND, ABSENT = (
    f'milepost_link_reads_total{{outcome="{outcome}"}}' for outcome in ("found", "absent")
)


def destination(number: int) -> str:
    """Return where link *number* leads."""
    return f"https://shop.example/landing/{number}?from=a"


async def warm(running: Fleet) -> dict[str, float]:
    """Return the metrics once every link is in memory."""
    async with asyncio.timeout(30):
        while True:
            told = await running.metrics()
            if told["milepost_links_in_memory"] > MANY:
                return told
            await asyncio.sleep(0.1)


async def test_a_new_edge_serves_a_hundred_thousand_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within 10 seconds and 150 MB, also when all of them come again in another history."""
    async with fleet(tmp_path, many_links()) as both:
        both.running.edge.start()
        seconds = await both.until(f"/promo-{MANY - 1}", 302)
        told = await warm(both)
        memory = both.memory(), both.memory("VmHWM")
        assert both.registry.stop() == 0
        (tmp_path / "registry" / "links.db").rename(tmp_path / "old.db")
        await fill(tmp_path / "registry" / "links.db", many_links(MANY + 500))
        with registry_of(tmp_path, both.registry.private_port):
            await both.until(f"/promo-{MANY + 499}", 302, 40.0)
            await warm(both)
        again = both.memory(), both.memory("VmHWM")
        found = await both.status_of("/promo-5"), await both.status_of("/nothing")

    with capsys.disabled():
        sys.stdout.write(
            f"\n{MANY} links: served after {seconds:.1f} s; {memory[0] / 1e6:.0f} MB resident, "
            f"{memory[1] / 1e6:.0f} at most; after a second snapshot {again[0] / 1e6:.0f}, "
            f"{again[1] / 1e6:.0f}; gatekeeper {told['milepost_gatekeeper_bytes']:.0f} bytes\n"
        )
    assert seconds < SECONDS_MAX
    assert max(memory + again) < MEMORY_MAX
    assert told["milepost_gatekeeper_bytes"] <= GATEKEEPER_MAX
    assert found == ((302, destination(5)), (404, ""))


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_links_that_memory_does_not_hold_are_found(tmp_path: Path, workers: str) -> None:
    """Each cold one is one read; what is not there costs a read for one in thousands."""
    links = many_links(20_000)
    async with fleet(tmp_path, links, memory_mb="1", workers=workers) as both:
        both.running.edge.start()
        await both.until("/promo-19999", 302)
        found = [await both.status_of(f"/promo-{n}") for n in range(0, 20_000, 100)]
        missing = [await both.status_of(f"/no-{n}") for n in range(200)]
        await asyncio.sleep(1.5)  # workers tell their counts each second
        told = await both.metrics()

    assert found == [(302, destination(n)) for n in range(0, 20_000, 100)]
    assert missing == [(404, "")] * 200
    assert told[FOUND] > 100
    assert told.get(ABSENT, 0.0) < 5
    assert told["milepost_links_memory_bytes"] <= int(workers) * 1_000_000


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_edge_alone_redirects_as_before(tmp_path: Path, workers: str) -> None:
    """Registry and key server gone, the edge started anew: links and prefixes are there."""
    paths = ("/promo-7", "/last", "/nothing", "/e/target.example/a")
    async with fleet(tmp_path, many_links(5_000), workers=workers) as both:
        both.running.edge.start()
        await both.until("/last", 302)
        before = [await both.status_of(path) for path in paths]
        both.registry.stop()
        both.running.keys.stop()
        assert both.running.edge.stop() == 0
        both.running.edge.start()
        await both.until("/last", 302)
        after = [await both.status_of(path) for path in paths]

    assert after == before
    assert [status for status, _ in after] == [302, 302, 404, 302]


async def test_workers_share_a_replica_and_not_its_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parent holds none of the links; each worker what fits."""
    async with fleet(tmp_path, many_links(), workers="2") as both:
        begun = time.monotonic()
        both.running.edge.start()
        await both.until(f"/promo-{MANY - 1}", 302)
        seconds = time.monotonic() - begun
        pids = workers_of(both.running)
        await until(lambda: min(map(memory_of, pids)) > 100_000_000, 30.0)
        await asyncio.sleep(2)
        memory = [both.memory(), *(memory_of(pid, "VmHWM") for pid in pids)]

    told = ", ".join(f"{each / 1e6:.0f}" for each in memory)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{MANY} links, two workers: served after {seconds:.1f} s; "
            f"parent and workers {told} MB\n"
        )
    assert max(memory) < MEMORY_MAX


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_edge_whose_disk_takes_no_replica_serves(tmp_path: Path, workers: str) -> None:
    """From memory, in every worker, and changes arrive."""
    (tmp_path / "edge" / "links.db").mkdir(parents=True)
    paths = [*(f"/promo-{n}" for n in range(0, 3_000, 300)), "/nothing", "/e/target.example/a"]
    async with fleet(tmp_path, many_links(3_000), workers=workers, memory_mb="1") as both:
        both.running.edge.start()
        await both.until("/last", 302)
        found = [await both.status_of(path) for path in paths for _ in range(3)]

    assert [status for status, _ in found] == [302] * 30 + [404] * 3 + [302] * 3
