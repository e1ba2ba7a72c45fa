"""The one SQLite."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from milepost import sqlite
from milepost.errors import ConfigError

SAFE = [(3, 51, 3), (3, 51, 4), (3, 52, 1), (3, 53, 0), (4, 0, 0)]
SAFE += [(3, 50, 7), (3, 50, 8), (3, 44, 6), (3, 44, 9)]  # the fix was carried back to these
UNSAFE = [(3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 0), (3, 51, 2), (3, 52, 0)]

MAPPED = """
import importlib, sys
importlib.import_module(sys.argv[1])
import aiosqlite, sqlite3, sqlite3.dbapi2
(version,) = sqlite3.connect(":memory:").execute("SELECT sqlite_version()").fetchone()
print(version, sqlite3.__name__, sqlite3.dbapi2.__name__, aiosqlite.core.sqlite3.__name__)
with open("/proc/self/maps") as maps:
    for place in sorted({line.split()[-1] for line in maps if "sqlite" in line.lower()}):
        print(place)
"""


@pytest.mark.parametrize("version", SAFE)
def test_a_version_with_the_fix_is_taken(version: tuple[int, ...]) -> None:
    """The fix came with 3.51.3 and was carried back to two older lines."""
    assert sqlite.is_safe(version)


@pytest.mark.parametrize("version", UNSAFE)
def test_a_version_that_can_lose_rows_is_not(version: tuple[int, ...]) -> None:
    """The gaps between the fixed lines have the bug, and 3.52.0 was withdrawn."""
    assert not sqlite.is_safe(version)


def test_the_guard_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal names the package and the version that help."""
    monkeypatch.setattr("milepost.sqlite.sqlite3.sqlite_version_info", (3, 40, 1))

    with pytest.raises(ConfigError, match=r"install the package pysqlite3 0\.6\.1 or newer"):
        sqlite.require_safe_sqlite()


def test_what_the_tests_run_on_is_safe() -> None:
    """The lock brings a library that the guard lets through."""
    sqlite.require_safe_sqlite()


@pytest.mark.parametrize(
    "module",
    [
        "milepost.database",
        pytest.param("regional_logger.__main__", marks=pytest.mark.slow),
        pytest.param("aggregator.__main__", marks=pytest.mark.slow),
        pytest.param("key_server.__main__", marks=pytest.mark.slow),
        pytest.param("link_registry.__main__", marks=pytest.mark.slow),
    ],
)
def test_one_sqlite_library_is_mapped_per_process(module: str) -> None:
    """Two copies would not see each other's locks on one file, and corrupt it.

    Whatever the order of the imports: nobody gets the standard library's copy.
    """
    done = subprocess.run(
        [sys.executable, "-c", MAPPED, module],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    names, *mapped = done.stdout.splitlines()

    assert names == f"{sqlite.VERSION} pysqlite3 pysqlite3.dbapi2 pysqlite3"
    assert len(mapped) == 1, mapped


def test_a_writer_makes_a_commit_durable(tmp_path: Path) -> None:
    """FULL, and no checkpoint by accident: both are given on purpose, never by default."""
    connection = sqlite.connect(tmp_path / "a.db")
    found = {
        pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        for pragma in ("synchronous", "wal_autocheckpoint", "foreign_keys", "trusted_schema")
    }
    connection.close()

    assert found == {
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    """A question about a file that is not there leaves no file behind."""
    with pytest.raises(sqlite.OperationalError):
        sqlite.connect_read_only(tmp_path / "absent.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a?b.db", "a#b.db", "a%41.db", "a b.db"])
def test_a_reader_opens_the_file_that_was_named(name: str, tmp_path: Path) -> None:
    """Characters that mean something in an address mean nothing in a name."""
    path = tmp_path / name
    writer = sqlite.connect(path)
    writer.execute("CREATE TABLE a (b)")
    writer.close()

    reader = sqlite.connect_read_only(path)
    rows = reader.execute("SELECT name FROM sqlite_schema").fetchall()
    with pytest.raises(sqlite.OperationalError, match="readonly"):
        reader.execute("INSERT INTO a VALUES (1)")
    reader.close()

    assert rows == [("a",)]


def test_values_are_bound_as_they_are(tmp_path: Path) -> None:
    """What spares SQLite's wrapper its search for adapters changes nothing that is stored."""
    values = (None, b"", b"\x00\xff", "", "text", 0, 1 << 62)
    with contextlib.closing(sqlite.connect(tmp_path / "any.db")) as connection:
        told = [connection.execute("SELECT ?", (value,)).fetchone()[0] for value in values]

    assert tuple(told) == values
    assert list(map(type, told)) == list(map(type, values))
