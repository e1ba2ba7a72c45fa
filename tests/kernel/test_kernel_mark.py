"""The mark beside a database, and what it tells."""

from dataclasses import replace
from pathlib import Path

import pytest

from milepost.mark.file import mark_path, read_mark, write_mark
from milepost.mark.rules import Held, Mark, why_new

MARK = Mark(name="5", machine="here", file=77, height=10)
HELD = Held(name="5", height=10)
NEW = Held(name=None, height=0)


@pytest.mark.parametrize(
    ("mark", "held", "machine", "file", "expected"),
    [
        pytest.param(MARK, HELD, "here", 77, "", id="the same file again"),
        pytest.param(MARK, replace(HELD, height=12), "here", 77, "", id="more since the mark"),
        pytest.param(MARK, replace(HELD, height=9), "here", 77, "held number 10", id="less"),
        pytest.param(MARK, HELD, "here", 78, "another file", id="copied into its place"),
        pytest.param(MARK, HELD, "there", 77, "machine here", id="on another machine"),
        pytest.param(MARK, replace(HELD, name="4"), "here", 77, "another file", id="older"),
        pytest.param(None, HELD, "here", 77, "nothing tells", id="no mark"),
        pytest.param(None, NEW, "here", 77, "new", id="just made"),
        pytest.param(MARK, NEW, "here", 77, "new", id="made anew"),
    ],
)
def test_what_a_mark_tells(
    mark: Mark | None, held: Held, machine: str, file: int, expected: str
) -> None:
    """A database keeps its name only where it is, and not with less than it had."""
    reason = why_new(mark, held, machine, file)

    assert (expected in reason) if expected else reason == ""


def test_a_mark_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And it is for its owner alone, as the database itself."""
    database = tmp_path / "links.db"
    write_mark(database, MARK)

    assert read_mark(database) == MARK
    assert mark_path(database).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": "5"}', b'{"name": 1, "file": []}']
)
def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    """Then the database may be anything."""
    mark_path(tmp_path / "links.db").write_bytes(content)

    assert read_mark(tmp_path / "links.db") is None
