"""The README, done as it says, from a fresh copy of the project."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.fleet.kit import clean_env, free_ports, platform

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def fresh_copy(folder: Path) -> Path:
    """Copy what a clone of the working tree would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def shell(line: str, folder: Path, base_port: int) -> str:
    """Run one line of the README in *folder*, with its ports moved to where they are free."""
    for offset in (0, 1, 102):
        line = line.replace(f":{8080 + offset}/", f":{base_port + offset}/")
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=clean_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


def test_the_readme_fits_on_a_screen_and_begins_with_make_run() -> None:
    """Its commands are those that the test below knows."""
    assert COMMANDS[0] == "make run"
    assert COMMANDS[-1] == "make test"
    assert sum(line.startswith("curl ") for line in COMMANDS) == 3
    assert len(README.splitlines()) <= 60


def test_what_the_readme_says_works_from_a_fresh_copy(tmp_path: Path) -> None:
    """`make run` sets itself up, and two clicks are seen counted."""
    folder = fresh_copy(tmp_path / "milepost")
    port = free_ports()
    with platform(
        folder / ".milepost",
        base_port=port,
        whole_command=("make", "run", f"ARGS=--base-port {port}"),
        cwd=folder,
    ) as running:
        running.wait_ready()
        click, other, hits, link, listing, summing, reconciling = COMMANDS[1:-1]
        assert "location: https://example.com/episode.mp3" in shell(click, folder, port).lower()
        assert "302" in shell(other, folder, port)
        told: dict[str, list[dict[str, str]]] = {}
        for _ in range(25):
            told = json.loads(shell(hits, folder, port))
            if len(told["hits"]) == 2:
                break
            time.sleep(0.2)
        made = shell(link, folder, port)
        table = shell(listing, folder, port)
        counted = shell(summing, folder, port)
        sums = shell(reconciling, folder, port)

    assert [hit["target"] for hit in told["hits"]] == ["https://example.com/episode.mp3"] * 2
    assert {hit["region"] for hit in told["hits"]} == {"dfw", "cdg"}
    assert f"http://127.0.0.1:{port}/promo" in made
    assert "/e/example.com/episode.mp3" in table
    assert "cdg" in counted
    assert "UNACCOUNTED" in sums
