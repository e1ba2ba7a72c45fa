"""The ban file: read again when it changes, and never in a visitor's way."""

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from regional_logger import bans as bans_module
from regional_logger.bans import BanFile

HOSTS = ("a.example", "b.example", "c.example")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a ban file may come to lie."""
    return tmp_path / "bans.txt"


def held(bans: BanFile) -> list[str]:
    """Look again, and return which hosts are banned."""
    bans.look()
    return [host for host in HOSTS if bans.holds(host)]


@pytest.fixture
def said() -> Iterator[list[MutableMapping[str, Any]]]:
    """Collect what is logged."""
    with capture_logs() as lines:
        yield lines


def warnings(said: list[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """Return the warnings of one kind; there is no other."""
    found = [line for line in said if line["log_level"] == "warning"]
    assert {line["event"] for line in found} == {event}
    return found


def test_a_change_counts_with_the_next_look(path: Path) -> None:
    """Written in place or put in its place, grown, shrunk or emptied."""
    path.write_text("a.example\n")
    bans = BanFile(path)
    assert held(bans) == ["a.example"]

    path.write_text("a.example\nb.example\n")
    assert held(bans) == ["a.example", "b.example"]

    new = path.with_suffix(".new")
    new.write_text("c.example\na.example\n")  # as long as what was there
    stamp = path.stat()
    os.utime(new, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    new.replace(path)
    assert held(bans) == ["a.example", "c.example"]

    path.write_text("")
    assert held(bans) == []


def test_what_cannot_be_read_leaves_the_list_as_it_was(
    path: Path, said: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent, too large, no file at all: told once each, and taken again when it is well."""
    bans = BanFile(path)
    assert held(bans) == []
    path.write_text("a.example\n")
    assert held(bans) == ["a.example"]

    path.unlink()
    assert held(bans) == held(bans) == ["a.example"]
    path.mkdir()
    assert held(bans) == held(bans) == ["a.example"]
    path.rmdir()
    os.mkfifo(path)
    assert held(bans) == ["a.example"]
    path.unlink()
    monkeypatch.setattr(bans_module, "FILE_BYTES_MAX", 20)
    path.write_text("b.example\n" * 3)
    assert held(bans) == held(bans) == ["a.example"]
    path.write_text("b.example\n")
    assert held(bans) == ["b.example"]

    assert [line["reason"] for line in warnings(said, "bans.not_read")] == [
        *("No such file or directory", "No such file or directory"),
        *("not a file", "larger than 20 bytes"),
    ]


def test_a_file_with_bad_lines_only_adds(path: Path, said: list[MutableMapping[str, Any]]) -> None:
    """A slip neither lifts a ban nor holds up a new one; the lines are named."""
    bans = BanFile(path)
    path.write_text("a.example\n")
    held(bans)

    path.write_text("b.example\nhttps://bad/\n")
    assert held(bans) == ["a.example", "b.example"]
    path.write_bytes(b"\xff\xfe\x00 not text\n" * 50)
    assert held(bans) == ["a.example"]
    path.write_text("c.example\n")
    assert held(bans) == ["c.example"]

    one, many = warnings(said, "bans.bad_lines")
    assert (one["count"], one["lines"]) == (1, ["line 2: 'https://bad/'"])
    assert (many["count"], len(str(many["lines"])) < 1_000) == (50, True)


@pytest.fixture
def banning(path: Path) -> BanFile:
    """Return a file that bans, and has not been looked at."""
    path.write_text("*.example\n")
    return BanFile(path)


async def test_a_look_is_beside_the_loop(banning: BanFile) -> None:
    """As the disk may take its time."""
    await banning.step()

    assert banning.holds("a.example")
