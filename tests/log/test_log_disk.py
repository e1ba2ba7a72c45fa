"""A disk that is full or fails: redirects go on, and every count adds up afterwards."""

import asyncio
import contextlib
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.log.kit import Answers, Log, World, read_log, visit_many, world

pytestmark = pytest.mark.slow

SMALL = "3m"
may_mount = pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="needs to be allowed to mount a small disk in a namespace of its own",
)
FILL = 'dd if=/dev/zero of="$DATA/ballast" bs=1024 2>/dev/null; '


def on_small_disk(running: World, *, full: bool = False) -> None:
    """Give the edge a disk of its own, which may be full before it starts."""
    folder = Path(running.edge.env["MILEPOST_DATA"])
    folder.mkdir(parents=True)
    script = f'mount -t tmpfs -o size={SMALL} tmpfs "$DATA"; {FILL if full else ""}exec "$@"'
    running.edge.env["DATA"] = str(folder)
    running.edge.prefix = ("unshare", "-rm", "sh", "-c", script, "sh")


def fill(running: World) -> None:
    """Leave no room on the edge's disk."""
    with (running.data / "ballast").open("wb", buffering=0) as file:
        for size in (65_536, 1_024):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def make_room(running: World) -> None:
    """Give the edge its disk back."""
    (running.data / "ballast").unlink()


async def settled(running: World, answers: Answers) -> Log:
    """Return the log once everything accepted is recorded."""
    log = await read_log(running)
    for _ in range(60):
        told = log.tally
        if told.recorded + told.shed == len(answers.redirected):
            break
        await asyncio.sleep(0.25)
        await visit_many(running, [f"settle/{len(answers.redirected)}"], answers)
        log = await read_log(running)
    return log


def judge(log: Log, answers: Answers) -> None:
    """Check that each answered click is recorded once or counted as shed."""
    assert answers.other == {}
    assert answers.unanswered == 0
    assert log.meter.accepted + log.meter.shed == len(answers.redirected)
    assert log.tally.recorded == log.meter.accepted == len(log.records)
    assert log.tally.shed == log.meter.shed
    assert max(log.paths.values()) == 1, "doubled"


@may_mount
async def test_a_full_disk_stops_no_redirect_and_mends_by_itself(tmp_path: Path) -> None:
    """What had no room is shed, by number; what waited is recorded when there is room."""
    answers = Answers()
    with world(tmp_path, QUEUE_RECORDS_MAX="300") as running:
        on_small_disk(running)
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        await visit_many(running, [f"before/{number}" for number in range(50)], answers)
        fill(running)
        await visit_many(running, [f"full/{number}" for number in range(600)], answers)
        make_room(running)
        await asyncio.sleep(1.0)
        await visit_many(running, [f"after/{number}" for number in range(50)], answers)
        log = await settled(running, answers)

    judge(log, answers)
    assert log.meter.shed > 0, "the disk was never full"
    assert log.streams >= 2


@may_mount
async def test_an_edge_that_starts_on_a_full_disk_answers(tmp_path: Path) -> None:
    """And records what it kept in memory as soon as there is room."""
    answers = Answers()
    with world(tmp_path) as running:
        on_small_disk(running, full=True)
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        await visit_many(running, [f"full/{number}" for number in range(100)], answers)
        make_room(running)
        log = await settled(running, answers)

    judge(log, answers)
    assert len(answers.redirected) >= 100


def faults_in(trace: Path) -> int:
    """Return how many calls were made to fail."""
    return len(re.findall(r"\(INJECTED\)", trace.read_text())) if trace.exists() else 0


async def with_fault(folder: Path, call: str, number: int) -> tuple[Answers, Log, int]:
    """Run an edge whose *number*th *call* in each thread fails with EIO."""
    answers = Answers()
    trace = folder / "trace"
    with world(folder) as running:
        running.edge.prefix = (
            *("strace", "-f", "-y", "-qq", "-o", str(trace), "-e", f"trace={call}"),
            *("-e", f"inject={call}:error=EIO:when={number}"),
        )
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        for part in range(5):
            await visit_many(running, [f"{number}/{part}/{each}" for each in range(4)], answers)
        running.edge.stop()
        log = await read_log(running)
    return answers, log, faults_in(trace)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs the Debian package strace")
@pytest.mark.parametrize("call", ["fsync", "pwrite64"])
async def test_every_call_that_fails_in_turn(tmp_path: Path, call: str) -> None:
    """Whichever write or sync it is: nothing is doubled, and nothing goes unreported."""
    hit: Counter[str] = Counter()
    number = 0
    while True:
        number += 1
        answers, log, faults = await with_fault(tmp_path / f"{call}-{number}", call, number)
        if not faults:
            break
        hit[call] += faults
        assert answers.other == {}
        assert answers.unanswered == 0
        assert max(log.paths.values()) == 1, f"{call} {number}: doubled"
        assert log.meter.accepted + log.meter.shed == len(answers.redirected)
        assert log.tally.recorded == len(log.records)
        assert log.meter.accepted - log.tally.recorded == sum(
            path not in log.paths for path in answers.redirected
        ), f"{call} {number}: lost and not reported"

    assert hit[call] >= 5
