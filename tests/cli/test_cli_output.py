"""How answers are shown."""

import pytest

from milepost.cli.output import cell, emit_json, emit_table


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (302, "302"),
        ("Zürich", "Zürich"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines", "two\\nlines"),
        ("\u202eright to left", "\\u202eright to left"),
        (["a"], '["a"]'),
    ],
)
def test_a_cell_is_safe_to_show(value: object, expected: str) -> None:
    """A visitor chooses paths and user agents; a terminal must not obey them."""
    assert cell(value) == expected


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A long target is neither folded nor cut, and markup in it is text."""
    target = "https://example.com/[red]" + "x" * 500
    emit_table({"target": "TARGET"}, [{"target": target}], "none")

    assert capsys.readouterr().out.splitlines()[1].strip() == target


def test_nothing_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table looks like a fault."""
    emit_table({"a": "A"}, [], "no links yet")

    assert capsys.readouterr().out == "no links yet\n"


def test_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For `jq`, `grep` and `wc -l`; what holds a newline still takes one line."""
    emit_json([{"a": "x\ny"}, {"a": 2}])

    assert capsys.readouterr().out == '{"a":"x\\ny"}\n{"a":2}\n'
