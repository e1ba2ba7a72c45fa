"""An installed wheel is the whole product."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fleet.kit import Answers, click, counted, platform, visitors

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel into *folder*."""
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    (wheel,) = folder.glob("milepost-*.whl")
    return wheel


def pip(python: str, *arguments: str) -> None:
    """Run pip."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(folder: Path) -> str:
    """Install the wheel with its locked dependencies; return where the command is."""
    wheel = build_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = str(folder / "venv" / "bin" / "python")
    pip(python, "install", "--require-hashes", "-r", str(ROOT / "requirements.lock"))
    pip(python, "install", "--no-deps", str(wheel))
    return str(folder / "venv" / "bin" / "milepost")


def test_the_wheel_carries_schema_and_migrations(tmp_path: Path) -> None:
    """Beside the code, where it looks for them first."""
    names = zipfile.ZipFile(build_wheel(tmp_path)).namelist()

    assert "milepost/data/schema.sql" in names
    for database in ("combined", "keys", "links", "replica"):
        assert any(name.startswith(f"milepost/data/migrations/{database}/") for name in names)
    assert not any(name.startswith("tests/") for name in names)


async def test_an_installed_wheel_runs_the_platform_outside_the_checkout(tmp_path: Path) -> None:
    """Only the wheel and the locked dependencies: a click is served and counted."""
    milepost = install(tmp_path)

    answers = Answers()
    with platform(
        tmp_path / "fleet", "--regions", "dfw", command=(milepost,), cwd=tmp_path
    ) as running:
        fleet = running.wait_ready()
        async with visitors() as session:
            await click(session, fleet.regions[0].url, "installed", answers)
        paths = await counted(fleet, answers.redirected, seconds=5)

    assert answers.redirected == ["/e/target.example/installed"]
    assert paths == {"/e/target.example/installed": 1}
