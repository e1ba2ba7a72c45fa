"""`milepost dev` as a whole: what it refuses, and that it comes and goes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from milepost.dev.founding import find_litestream, identity_in
from milepost.dev.plan import Options
from milepost.dev.run import run_platform
from milepost.errors import ConfigError
from milepost.fleet import Fleet, read_fleet
from milepost.service import sole_holder

READY_SECONDS = 45


def start(options: Options, told: list[str], **env: str) -> None:
    """Run the platform in this process; only for what is refused before anything starts."""
    asyncio.run(run_platform(options, env, told.append))


def test_a_typing_error_is_told_up_front(options: Options, told: list[str]) -> None:
    """All of them, in one sentence, before a folder is made."""
    with pytest.raises(ConfigError, match=r"MILEPOST_ACEPT: unknown.*; MILEPOST_X: unknown"):
        start(options, told, MILEPOST_X="1", MILEPOST_ACEPT="fast")

    assert not options.data.exists()


def test_a_second_dev_on_one_folder_is_refused(options: Options, told: list[str]) -> None:
    """Two supervisors would start two writers on each database."""
    options = replace(options, litestream=False)
    with sole_holder(options.data / "dev.lock", "x"):
        (options.data / "fleet.json").write_text("the first one's")
        with pytest.raises(ConfigError, match="in use by another process"):
            start(options, told)

    assert (options.data / "fleet.json").read_text() == "the first one's"


def test_a_port_in_use_is_refused_before_anything_starts(options: Options, told: list[str]) -> None:
    """And a fleet file from before, whose platform is gone, is not left to mislead."""
    options.data.mkdir()
    (options.data / "fleet.json").write_text('{"ready": true}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = replace(options, litestream=False, base_port=port)
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            start(taken, told)

    assert not (options.data / "fleet.json").exists()
    assert not told


def test_litestream_stands_beside_python(tmp_path: Path) -> None:
    """A package brought it into this environment; the path comes second."""
    beside = tmp_path / "litestream"
    beside.touch(mode=0o755)

    assert find_litestream(str(tmp_path / "python"), "") == str(beside)
    assert find_litestream("/nowhere/python", str(tmp_path)) == str(beside)


def test_without_litestream_the_way_out_is_named() -> None:
    """Replication is on by default, so going without is a decision."""
    with pytest.raises(ConfigError, match="--no-litestream"):
        find_litestream("/nowhere/python", "")


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (b'{"identity": "' + b"ab" * 32 + b'", "created": true}\n', "ab" * 32),
        (b'noise\n{"identity": "' + b"ab" * 32 + b'"}', "ab" * 32),
        (b'{"identity": "xyz"}', ""),
        (b"", ""),
        (b"[]", ""),
    ],
)
def test_the_identity_is_read_or_missing(out: bytes, expected: str) -> None:
    """Edges believe only this identity, so nothing half right may pass for it."""
    assert identity_in(out) == expected


def free_base_port() -> int:
    """Return a base whose ports are free now."""
    for base in range(20_000 + os.getpid() % 20_000, 60_000, 200):
        offsets = (0, 100, 101, 102, 110)
        try:
            for offset in offsets:
                socket.create_server(("127.0.0.1", base + offset)).close()
        except OSError:
            continue
        return base
    pytest.fail("no free ports")


Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def data() -> str:
    """Return the folder of the real platforms."""
    return "data"


@pytest.fixture
def start_dev(tmp_path: Path, data: str) -> Iterator[Start]:
    """Return a starter of real platforms, all on one folder; none outlives the test."""
    base, started = free_base_port(), list[subprocess.Popen[str]]()
    options = ("--data", data, "--regions", "dfw", "--base-port", str(base))

    def begin() -> "subprocess.Popen[str]":
        with (tmp_path / "dev.out").open("a") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "milepost", "dev", *options],
                cwd=tmp_path,
                stdout=out,
                stderr=out,
                text=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def wait_ready(folder: Path, dev: "subprocess.Popen[str]", data: str = "data") -> Fleet:
    """Return the fleet of *dev* once it is ready."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and dev.poll() is None:
        if (folder / data / "fleet.json").exists():
            fleet = read_fleet(folder / data / "fleet.json")
            if fleet.ready and fleet.pid == dev.pid:
                return fleet
        time.sleep(0.1)
    pytest.fail((folder / "dev.out").read_text())


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_platform_comes_goes_and_comes_back(start_dev: Start, tmp_path: Path) -> None:
    """Killed, its children end too; started again, it goes on with the same tokens."""
    first = start_dev()
    before = wait_ready(tmp_path, first)
    first.kill()
    first.wait()
    second = start_dev()
    after = wait_ready(tmp_path, second)

    assert after.tokens == before.tokens
    assert after.regions[0].url == before.regions[0].url
    assert after.regions[0].pid != before.regions[0].pid
    port = urlsplit(after.regions[0].url).port
    with socket.create_connection(("127.0.0.1", port or 0)):
        pass

    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=40) == 0
    end = read_fleet(tmp_path / "data" / "fleet.json")
    assert (end.ready, end.aggregator.pid, end.regions[0].pid) == (False, None, None)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_service_that_is_killed_comes_back(start_dev: Start, tmp_path: Path) -> None:
    """On the same port, and the fleet file knows its new process."""
    dev = start_dev()
    before = wait_ready(tmp_path, dev)
    assert before.regions[0].pid is not None
    os.kill(before.regions[0].pid, signal.SIGKILL)
    time.sleep(0.3)
    after = wait_ready(tmp_path, dev)

    assert after.regions[0].pid not in {None, before.regions[0].pid}
    assert after.regions[0].url == before.regions[0].url
    assert after.aggregator.pid == before.aggregator.pid


def wait_for_copies(replicas: Path, names: set[str]) -> set[str]:
    """Return which of *names* have a copy in *replicas*, once all have or time is over."""
    end, found = time.monotonic() + READY_SECONDS, set[str]()
    while found != names and time.monotonic() < end:
        found = {name for name in names if any((replicas / name).rglob("*.ltx"))}
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("data", ["with a space, 100% #1"])
def test_replicas_are_in_the_data(start_dev: Start, tmp_path: Path, data: str) -> None:
    """Whatever the folder is called: a copy that nobody finds is none.  And so is fleet.json."""
    dev = start_dev()
    fleet = wait_ready(tmp_path, dev, data)
    names = {"dfw", "combined", "links"}

    assert wait_for_copies(tmp_path / data / "replicas", names) == names
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [data]
    assert "to /sync" not in (tmp_path / data / "logs" / "aggregator.log").read_text()
    (tmp_path / data / "fleet.json").unlink()
    assert wait_ready(tmp_path, dev, data) == fleet
