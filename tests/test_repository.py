"""What may not stand in the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ["requirements.lock", "requirements-dev.lock"]

# Put together here, so that this file does not hold what it looks for.
INDEX_HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("test", "pypi"))
]
HOMES = ["/" + "/".join(parts) + "/" for parts in (("home", r"[a-z]\w+"), ("Users", r"\w+"))]
HOMES += ["/" + name + "/" for name in ("root", "work")]
MACHINE_PATH = re.compile(rf"(?<![\w.:\-/])(?:{'|'.join(HOMES)})")

ENTRY = re.compile(r"^[A-Za-z0-9][\w.\-]*(\[[\w,\-]+\])?==\S+")
PIN = re.compile(r"^([A-Za-z0-9][\w.\-]*)==([^\s;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def repository_files() -> list[Path]:
    """Return every file that is in the repository, or would be after `git add`."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    names = filter(None, done.stdout.split("\0"))
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Return where in the repository *pattern* is found."""
    found = []
    for path in repository_files():
        lines = path.read_text("utf-8", "replace").splitlines()
        found += [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is for each machine to say; a lock names them by hash."""
    hosts = re.compile("|".join(map(re.escape, INDEX_HOSTS)))

    assert lines_with(hosts) == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    """A path that works for one person is a bug for all others."""
    assert lines_with(MACHINE_PATH) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_is_pinned_by_hash(lock: str) -> None:
    """Exactly one version, and exactly these files: an install is the same everywhere."""
    entries = re.sub(r"\\\n", " ", (ROOT / lock).read_text()).splitlines()
    packages = [line for line in entries if line.strip() and not line.lstrip().startswith("#")]

    assert packages
    assert [line for line in packages if not ENTRY.match(line) or not HASH.search(line)] == []


def test_the_locks_agree() -> None:
    """What is tested is what runs."""
    pins = [
        dict(
            re.findall(
                r"^([A-Za-z0-9][\w.\-]*)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE
            )
        )
        for lock in LOCKS
    ]

    assert {name: pins[1].get(name) for name in pins[0]} == pins[0]
