"""Keeping one process running: real processes, small ones."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from milepost.dev import child as child_module
from milepost.dev.child import ended_line, last_words, rotate, sentence_in
from milepost.dev.plan import Stage
from milepost.dev.supervise import drain, keep_until, kill
from milepost.errors import ConfigError
from tests.dev.conftest import MakeChild, until

FOREVER = "exec sleep 60"


async def test_what_dies_is_started_again(make_child: MakeChild, told: list[str]) -> None:
    """Under another process id, with one line for people each time."""
    child = make_child(FOREVER)
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.pid)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.pid not in {None, first})
    await child.stop()
    await keeping

    assert child.starts == 2
    assert told == ["small was ended by signal 9; starting it again in 0.001 s"]


async def test_what_was_told_to_end_stays_ended(make_child: MakeChild, told: list[str]) -> None:
    """And nobody calls that a death."""
    child = make_child(FOREVER)
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.pid)
    await child.stop()
    await keeping

    assert (child.pid, child.starts, told) == (None, 1, [])


async def test_what_lost_its_socket_is_started_again(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would run on, and nobody could tell it which databases to hold."""
    monkeypatch.setattr(child_module, "SOCKET_SECONDS_MAX", 0.0)
    child = make_child(FOREVER)
    control = tmp_path / "control.sock"
    child.process = replace(child.process, socket=control)
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.pid)
    control.touch()

    child.end_if_unreachable()
    assert child.starts == 1, "its socket is there"
    control.unlink()
    child.end_if_unreachable()
    await until(lambda: child.starts == 2)
    await child.stop()
    await keeping


async def test_a_stop_during_the_start_is_obeyed(make_child: MakeChild) -> None:
    """There is no moment at which a process can slip through."""
    child = make_child(FOREVER)
    keeping = asyncio.create_task(child.keep())
    await asyncio.sleep(0)  # it is being started and has no process id yet
    await child.stop()
    await keeping

    assert child.pid is None


async def test_a_process_that_does_not_drain_is_killed(
    make_child: MakeChild, told: list[str], tmp_path: Path
) -> None:
    """It has had its time."""
    child = make_child(f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.05; done")
    keeping = asyncio.create_task(child.keep())
    await until((tmp_path / "deaf").exists)
    await child.stop(seconds_max=0.05)
    await keeping

    assert told == ["small did not end in 0.05 s: killed"]


async def test_a_wrong_configuration_ends_everything(make_child: MakeChild) -> None:
    """Starting it again would not help; its last sentence says what would."""
    good = make_child(FOREVER, name="good")
    bad = make_child("echo first; echo 'milepost edge: MILEPOST_X: missing' >&2; exit 2")

    with pytest.raises(ConfigError, match=r"^small does not start: MILEPOST_X: missing$"):
        await keep_until(asyncio.Event(), [good, bad], asyncio.sleep(60))

    assert good.pid is None


async def test_litestream_may_crash_as_it_likes(make_child: MakeChild) -> None:
    """Its failure never stops a redirect, whatever status it ends with."""
    child = make_child("exit 2", stage=Stage.LITESTREAM)
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.starts > 1)
    await child.stop()

    await keeping


async def test_visitors_first_replication_last(make_child: MakeChild, tmp_path: Path) -> None:
    """Whoever takes in work is stopped before whoever it needs."""
    journal = tmp_path / "journal"
    children = [
        make_child(
            f"trap 'echo {stage.name} >> {journal}; exit 0' TERM; touch {tmp_path}/{stage.name};"
            " while :; do sleep 0.02; done",
            name=stage.name.lower(),
            stage=stage,
        )
        for stage in reversed(Stage)
    ]
    told = asyncio.Event()
    running = asyncio.create_task(keep_until(told, children, asyncio.sleep(60)))
    await until(lambda: all((tmp_path / stage.name).exists() for stage in Stage))
    told.set()
    await running

    assert journal.read_text().split() == ["EDGE", "AGGREGATOR", "CENTRAL", "LITESTREAM"]


async def test_a_second_word_ends_all_at_once(make_child: MakeChild, tmp_path: Path) -> None:
    """Even those that would rather not."""
    child = make_child(f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.05; done")
    keeping = asyncio.create_task(child.keep())
    await until((tmp_path / "deaf").exists)
    draining = asyncio.create_task(drain([child]))
    await asyncio.sleep(0)
    kill([child])
    await draining

    await keeping


async def test_a_program_that_is_not_there_is_tried_again(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine out of memory or descriptors may recover."""

    async def fail(*_words: object, **_options: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    child = make_child(FOREVER)
    keeping = asyncio.create_task(child.keep())
    await asyncio.sleep(0.02)
    await child.stop()
    await keeping

    assert child.starts == 0


def test_a_log_that_grew_large_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One earlier file is kept; a machine is not filled by its own logs."""
    monkeypatch.setattr(child_module, "LOG_BYTES_MAX", 4)
    log = tmp_path / "edge.log"
    log.write_text("short")

    assert rotate(log) == 0
    assert (tmp_path / "edge.log.1").read_text() == "short"
    assert rotate(log) == 0


def test_the_last_words_are_this_life_s(tmp_path: Path) -> None:
    """What an earlier life wrote explains nothing."""
    log = tmp_path / "edge.log"
    log.write_text("old fault\n")
    begin = log.stat().st_size

    assert not last_words(log, begin)
    with log.open("a") as file:
        file.write("one\ntwo\n\n")
    assert last_words(log, begin) == "two"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"milepost keys: no disk\n", "no disk"),
        (
            b"milepost edge: port 1 is in use\nx.py:1: RuntimeWarning: odd\n  a\n",
            "port 1 is in use",
        ),
        (b"milepost edge: first\nmilepost edge: milepost a: b\n", "milepost a: b"),
        (b"Traceback\nValueError: 7\n", "ValueError: 7"),
        (b"\n", ""),
    ],
)
def test_the_sentence_is_found(output: bytes, expected: str) -> None:
    """Whatever a library warned about meanwhile; and nobody is named twice."""
    assert sentence_in(output) == expected


@pytest.mark.parametrize(
    ("status", "how"), [(-9, "was ended by signal 9"), (1, "ended with status 1")]
)
def test_a_death_in_words(status: int, how: str) -> None:
    """Who died, how, and when it is back."""
    assert ended_line("edge-dfw", status, 0.4) == f"edge-dfw {how}; starting it again in 0.4 s"
