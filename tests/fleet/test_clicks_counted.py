"""One click is counted once: on the whole platform, and while parts of it are killed."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.fleet.kit import Answers, Platform, click, counted, platform, visitors

pytestmark = pytest.mark.slow

REGIONS = ("dfw", "cdg", "nrt")
THREE = ("--regions", ",".join(REGIONS))


async def click_evenly(running: Platform, count: int, name: str = "click") -> Answers:
    """Spread *count* clicks over the regions."""
    answers = Answers()
    urls = [entry.url for entry in running.fleet.regions]
    async with visitors() as session:
        await asyncio.gather(
            *(
                click(session, urls[number % len(urls)], f"{name}/{number}", answers)
                for number in range(count)
            )
        )
    return answers


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_thousand_clicks_in_three_regions(tmp_path: Path, workers: str) -> None:
    """Each is in the hits exactly once within five seconds of the last."""
    with platform(tmp_path / "fleet", *THREE, "--workers", workers) as running:
        fleet = running.wait_ready()
        answers = await click_evenly(running, 1_000)
        paths = await counted(fleet, answers.redirected, seconds=5)

    assert len(answers.redirected) == 1_000
    assert {paths[path] for path in answers.redirected} == {1}, running.logs()
    assert sum(paths.values()) == 1_000
    assert running.process.returncode == 0


def pids_of(running: Platform) -> dict[str, int]:
    """Return who may be killed."""
    fleet = running.fleet
    pids = {
        "edge": fleet.regions[0].pid,
        "aggregator": fleet.aggregator.pid,
        "key_server": fleet.key_server.pid,
        "link_registry": fleet.link_registry.pid,
    }
    return {name: pid for name, pid in pids.items() if pid is not None}


async def kill_in_turn(running: Platform, pause: float) -> list[str]:
    """Kill each kind of service once, as abruptly as can be."""
    killed = []
    for name in ("edge", "aggregator", "key_server", "link_registry"):
        await asyncio.sleep(pause)
        os.kill(pids_of(running)[name], signal.SIGKILL)
        killed.append(name)
    await asyncio.sleep(pause)
    return killed


async def click_until(task: asyncio.Task[list[str]], running: Platform, answers: Answers) -> None:
    """Click on every region, a few at a time, until *task* is over."""
    urls = [entry.url for entry in running.fleet.regions]
    number = 0
    async with visitors() as session:
        while not task.done() or number < 1_000:
            await asyncio.gather(
                *(
                    click(session, urls[each % len(urls)], f"killed/{number + each}", answers)
                    for each in range(10)
                )
            )
            number += 10
            await asyncio.sleep(0.02)


async def test_killing_any_service_changes_no_count(tmp_path: Path) -> None:
    """Every click that was answered 302 is counted exactly once."""
    answers = Answers()
    env = {"MILEPOST_ACCEPT_BUDGET_MS": "60000"}
    with platform(tmp_path / "fleet", *THREE, env=env) as running:
        running.wait_ready()
        before = pids_of(running)
        killing = asyncio.create_task(kill_in_turn(running, 1.5))
        await click_until(killing, running, answers)
        assert len(await killing) == 4
        fleet = await asyncio.to_thread(running.wait_ready)
        after = pids_of(running)
        paths = await counted(fleet, answers.redirected, seconds=30)

    assert len(answers.redirected) > 900
    assert all(before[name] != after[name] for name in before)
    assert {paths[path] for path in answers.redirected} == {1}, running.logs()


async def test_addresses_and_targets_stay_out_of_sight(tmp_path: Path) -> None:
    """No address in any file in any form; no target in a regional log."""
    addresses = [f"127.66.{number}.{255 - number}" for number in range(1, 9)]
    answers = Answers()
    data = tmp_path / "fleet"
    env = {"MILEPOST_LOG_LEVEL": "DEBUG"}
    with platform(data, *THREE, env=env) as running:
        fleet = running.wait_ready()
        for address in addresses:
            async with visitors(address) as session:
                for entry in fleet.regions:
                    await click(session, entry.url, f"secret/{address}".replace(".", "-"), answers)
            malformed(address, running.base_port)
        await counted(fleet, answers.redirected, seconds=10)
        while_running = find_addresses(data, addresses)
        in_logs = find(fleet_logs(data), [b"target.example", b"secret/"])
    assert len(answers.redirected) == len(addresses) * 3
    assert while_running == []
    assert in_logs == []
    assert find_addresses(data, addresses) == []
    assert "127.66." not in running.output()


def malformed(address: str, port: int) -> None:
    """Send what the HTTP parser refuses, from *address*."""
    with socket.create_connection(
        ("127.0.0.1", port), timeout=5, source_address=(address, 0)
    ) as stream:
        stream.sendall(b"GET / HTTP/9.9 what\r\nHost: \x00\r\n\r\n")
        stream.recv(1_000)


def fleet_logs(data: Path) -> list[Path]:
    """Return every file of the regional logs and their replicas."""
    places = [data / "edges", *(data / "replicas").glob("*edge*"), *data.glob("replicas/edges")]
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def find_addresses(data: Path, addresses: list[str]) -> list[tuple[str, bytes]]:
    """Return where an address stands, in text, packed or reversed form.

    Four packed bytes turn up in megabytes of ciphertext by chance, but not twice:
    each address came to three regions.
    """
    files = [path for path in data.rglob("*") if path.is_file()]
    needles, short = [], []
    for address in addresses:
        packed = socket.inet_aton(address)
        backwards = ".".join(reversed(address.split(".")))
        needles += [address.encode(), backwards.encode(), packed.hex().encode()]
        short += [packed, packed[::-1]]
    chance = Counter(needle for _, needle in find(files, short))
    return find(files, needles) + [found for found in find(files, short) if chance[found[1]] > 1]


def find(files: list[Path], needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Return (file, needle) for each needle that stands in a file."""
    assert files
    contents = {path: path.read_bytes() for path in files if path.exists()}
    return [
        (path.name, needle)
        for path, content in contents.items()
        for needle in needles
        if needle in content
    ]


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="needs the Debian package sqlite3")
async def test_a_regional_stream_shows_its_batches_and_nothing_else(tmp_path: Path) -> None:
    """Sequence, count, times, epoch and size, with the command everybody has."""
    with platform(tmp_path / "fleet", "--regions", "dfw") as running:
        fleet = running.wait_ready()
        answers = await click_evenly(running, 20)
        await counted(fleet, answers.redirected, seconds=5)
        stream = only_stream(fleet.regions[0].log_dir)
        listing = sqlite(
            stream, "SELECT seq, count, first_time, last_time, epoch, bytes FROM batches"
        )
        everything = sqlite(
            stream, "SELECT * FROM batch; SELECT * FROM stream; SELECT * FROM hours"
        )

    rows = [row.split("|") for row in listing.splitlines()]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert sum(int(row[1]) for row in rows) == 20
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[2]) for row in rows)
    assert all(int(row[4]) >= 0 and int(row[5]) > 0 for row in rows)
    assert "target.example" not in everything
    assert "127.0.0.1" not in everything


def only_stream(log_dir: str) -> Path:
    """Return the one stream in *log_dir*."""
    (stream,) = Path(log_dir).glob("*.db")
    return stream


def sqlite(path: Path, sql: str) -> str:
    """Ask the sqlite3 command, read-only."""
    done = subprocess.run(["sqlite3", "-readonly", str(path), sql], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


async def test_started_again_it_goes_on(tmp_path: Path) -> None:
    """Same tokens, same links, same hits; and new clicks are added to the old."""
    data = tmp_path / "fleet"
    with platform(data, "--regions", "dfw") as running:
        first = running.wait_ready()
        one = await click_evenly(running, 5, "first")
        await counted(first, one.redirected, seconds=5)
    with platform(data, "--regions", "dfw") as running:
        second = running.wait_ready()
        two = await click_evenly(running, 5, "second")
        paths = await counted(second, two.redirected, seconds=5)

    assert second.tokens == first.tokens
    assert sorted(paths) == sorted(one.redirected + two.redirected)
    assert set(paths.values()) == {1}


async def test_a_managed_link_redirects_in_every_region(tmp_path: Path) -> None:
    """Made with the command, followed by visitors, seen in the hits, gone when deleted."""
    data = tmp_path / "fleet"
    with platform(data, *THREE) as running:
        fleet = running.wait_ready()
        created = command(data, "links", "create", "/promo", "https://example.com/p", "--json")
        answers: dict[str, int] = {}
        async with visitors() as session:
            for status in (302, 404):
                for entry in fleet.regions:
                    answers[entry.region] = await status_of(session, f"{entry.url}/promo", status)
                assert set(answers.values()) == {status}
                if status == 302:
                    link = re.search(r'"id":\s*"([^"]+)"', created)
                    assert link
                    command(data, "links", "rm", link[1])
        paths = await counted(fleet, ["/promo"], seconds=5)

    assert paths["/promo"] >= 3


async def status_of(session: aiohttp.ClientSession, url: str, wanted: int) -> int:
    """Return the status at *url*, giving the feed a moment to bring *wanted*."""
    status = 0
    for _ in range(50):
        async with session.get(url, allow_redirects=False) as response:
            status = response.status
        if status == wanted:
            break
        await asyncio.sleep(0.1)
    return status


def command(data: Path, *arguments: str) -> str:
    """Run the `milepost` command next to a running platform; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "milepost", "--fleet", str(data / "fleet.json"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
