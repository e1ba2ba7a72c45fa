"""Links as rows of a file."""

import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli.links_rows import (
    FORMULA,
    cells_of,
    columns_of,
    csv_rows,
    escaped,
    json_of,
    json_rows,
    unescaped,
)
from tests.cli.conftest import LINK

FIELDS = {name: value for name, value in LINK.items() if name not in {"id", "version"}}


def _csv(*links: dict[str, Any]) -> str:
    out = io.StringIO(newline="")
    write = csv.writer(out).writerow
    columns = columns_of(links[0])
    write(columns)
    for link in links:
        write(cells_of(link, columns))
    return out.getvalue()


@given(st.text())
def test_a_cell_is_read_as_it_was_written(cell: str) -> None:
    """And none that is written begins a formula."""
    assert unescaped(escaped(cell)) == cell
    assert not escaped(cell).startswith(FORMULA)


def test_a_cell_from_elsewhere_keeps_its_apostrophe() -> None:
    """Only what would be a formula without it was escaped."""
    assert unescaped("'tis") == escaped("'tis") == "'tis"
    assert unescaped("'=1+1") == "=1+1"


@given(
    note=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    tags=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
)
def test_a_link_comes_back_from_both_formats(note: str, tags: list[str]) -> None:
    """With what it may carry some day, and without what is the registry's own."""
    link = LINK | {"note": note, "tags": tags, "enabled": False}
    [from_csv] = csv_rows(io.StringIO(_csv(link), newline=""))
    [from_json] = json_rows([json_of(link).decode()])
    expected = FIELDS | {"note": note, "tags": tags, "enabled": False}

    assert from_json.fields == expected
    assert from_csv.fields == {name: each for name, each in expected.items() if each is not None}


def test_faults_are_of_one_row() -> None:
    """Each with the line on which it begins, and what follows is read."""
    rows = list(
        csv_rows(
            io.StringIO(
                "path,destination,status,enabled\n"
                "/a,https://x.example/,302,yes\n"
                '/b,"https://x.example/\nsecond",302,\n'
                "/c,https://x.example/,many,true\n"
                "\n"
                "/d,https://x.example/,302,perhaps\n"
                "/e,https://x.example/,302,true,more\n"
                "/\udcff,https://x.example/\n"
                "/f\n",
                newline="",
            )
        )
    )

    assert [(row.line, row.fault.partition(":")[0]) for row in rows] == [
        (2, ""),
        (3, ""),
        (5, "status"),
        (7, "enabled"),
        (8, "5 cells under 4 columns"),
        (9, "path"),
        (10, ""),
    ]
    assert rows[0].fields["enabled"] is True
    assert rows[-1].fields == {"path": "/f"}


def test_a_quote_that_is_not_closed_costs_no_more_than_it_must() -> None:
    """A cell has a limit, and behind it reading goes on."""
    lines = ["path\n", '"' + "x" * 200_000 + "\n", "/a\n"]
    found = list(csv_rows(lines))

    assert found[0].fault.startswith("no CSV")
    assert found[-1].fields == {"path": "/a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"path": "/a"}\n\n{"path": "/b"}\n', [(1, "/a"), (3, "/b")]),
        ('{"path": "/a"}\n{\n7\n{"path": "/b"}\n', [(1, "/a"), (2, None), (3, None), (4, "/b")]),
        ('[{"path": "/a"},\n 7, {"path": "/b"}]', [(1, "/a"), (2, None), (3, "/b")]),
        ("[{", [(1, None)]),
        ("", []),
    ],
)
def test_json_is_lines_or_one_list(text: str, expected: list[tuple[int, str | None]]) -> None:
    """What is wrong with one of them is said of it alone."""
    rows = list(json_rows(io.StringIO(text)))

    assert [(row.line, row.fields.get("path")) for row in rows] == expected
    assert all(
        bool(row.fault) is (path is None) for row, (_, path) in zip(rows, expected, strict=True)
    )


def test_json_keeps_what_is_no_text() -> None:
    """A null means that nothing is to be there."""
    assert orjson.loads(json_of(LINK)) == FIELDS
