"""`milepost log` beside real processes: a running edge, a killed one, a copy of its folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.log.kit import READER_TOKEN, Answers, World, clean_env, visit_many, world

pytestmark = pytest.mark.slow


def milepost_log(running: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `milepost log` with the key server's address and a token that may open."""
    env = clean_env() | {
        "MILEPOST_KEYS_URL": f"http://127.0.0.1:{running.keys.private_port}",
        "MILEPOST_TOKEN": READER_TOKEN,
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "milepost", "log", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def opened_paths(running: World, folder: Path) -> list[str]:
    """Return the paths of all records in *folder*."""
    done = milepost_log(running, "cat", str(folder), "--open", "--json")
    assert done.returncode == 0, done.stderr
    return sorted(json.loads(line)["path"] for line in done.stdout.splitlines())


async def test_a_log_is_read_running_killed_and_copied(tmp_path: Path) -> None:
    """Every answered click is shown each time, and each opening stands in the key server's log."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        running.edge.start()
        running.edge.wait_live()
        await visit_many(running, [f"click/{number}" for number in range(300)], answers)
        while_running = opened_paths(running, running.log_dir)
        verified = milepost_log(running, "verify", str(running.log_dir), "--open", "--json")
        running.edge.kill()
        after_kill = opened_paths(running, running.log_dir)
        copy = tmp_path / "copy"
        shutil.copytree(running.log_dir, copy, ignore=shutil.ignore_patterns("*-shm"))
        copied = opened_paths(running, copy)
        audit = [line for line in running.keys.log.read_text().splitlines() if "given" in line]

    assert len(answers.redirected) == 300
    assert while_running == after_kill == copied == sorted(answers.redirected)
    assert verified.returncode == 0, verified.stdout
    told = [json.loads(line) for line in audit]
    assert {(each["event"], each["to"]) for each in told} == {("record_key.given", "reader")}
    assert len(told) == 4


async def test_a_read_only_copy_is_read(tmp_path: Path) -> None:
    """By somebody who may not write there: with the side files that were copied along."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        running.edge.start()
        running.edge.wait_live()
        await visit_many(running, [f"click/{number}" for number in range(20)], answers)
        running.edge.stop()
        copy = tmp_path / "copy"
        shutil.copytree(running.log_dir, copy)
        for path in (*copy.iterdir(), copy):
            path.chmod(0o555 if path.is_dir() else 0o444)
        shown = opened_paths(running, copy)
        names = sorted(path.name for path in copy.iterdir())
        copy.chmod(0o755)

    assert shown == sorted(answers.redirected)
    assert names == sorted(path.name for path in copy.iterdir())
