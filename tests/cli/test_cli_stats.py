"""`milepost stats`: sums with small charts, and what is asked for them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli import cli
from milepost.cli.charts import LINE_CHARS_MAX, bar, line
from milepost.cli.completion import VARIABLE
from tests.cli.conftest import Answers, Run

ROOT = Path(__file__).parents[2]
COUNTS = {"hits": 1_400, "clicks": 1_200, "uniques": 700}
SERIES = [
    {"start": "2026-01-01T00:00:00.000Z", "hits": 1_000, "clicks": 900, "uniques": 500},
    {"start": "2026-01-02T00:00:00.000Z", "hits": 400, "clicks": 300, "uniques": 200},
    {"start": "2026-01-03T00:00:00.000Z", "hits": 0, "clicks": 0, "uniques": 0},
]
ANSWER: dict[str, Any] = {
    "start": "2026-01-01T00:00:00.000Z",
    "end": "2026-01-03T12:00:00.000Z",
    "tz": "UTC",
    "bots": "exclude",
    "rolled": True,
    "epochs": 3,
    "total": COUNTS,
}
GROUPED = ANSWER | {
    "group_by": ["link"],
    "groups": [
        {"link": "spring", "hits": 1_000, "clicks": 900, "uniques": 500},
        {"link": None, "hits": 300, "clicks": 250, "uniques": 200},
    ],
    "rest": {"groups": 2, "hits": 100, "clicks": 50},
}


async def test_groups_are_a_table_with_bars(run: Run, answers: Answers) -> None:
    """The most clicks first, with what the others come to, and what uniques are of."""
    answers.told["GET /v1/stats"] = GROUPED

    done = await run("stats", "--group-by", "link", "--limit", "2")

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "1,400 hits, 1,200 clicks, 700 uniques of people"
    assert lines[1].endswith("uniques of 3 epochs, added up")
    assert lines[3].split() == ["LINK", "HITS", "CLICKS", "UNIQUES"]
    assert lines[4].split() == ["spring", "1,000", "900", "500", "█" * 20]
    assert lines[5].split() == ["(none)", "300", "250", "200", "█████▋"]
    assert lines[6] == "and 2 more with 100 hits, 50 clicks (--limit shows more)"
    assert answers.asked[-1][1] == "/v1/stats?group_by=link&limit=2"


async def test_a_series_has_a_bar_for_each_bucket(run: Run, answers: Answers) -> None:
    """And a line above it; nothing is shown as nothing."""
    answers.told["GET /v1/stats"] = ANSWER | {"interval": "day", "series": SERIES}

    done = await run("stats", "--interval", "day", "--start", "-3d", "--tz", "UTC")

    lines = done.stdout.splitlines()
    assert lines[3] == "clicks  █▄▁"
    assert lines[6].split()[-1] == "█" * 20
    assert lines[8].split() == ["2026-01-03T00:00:00.000Z", "0", "0", "0"]
    assert answers.asked[-1][1] == "/v1/stats?interval=day&limit=20&start=-3d&tz=UTC"


async def test_groups_with_a_series_have_a_line_each(run: Run, answers: Answers) -> None:
    """So that one sees which of them rises."""
    columns = {"hits": [9, 1, 0], "clicks": [9, 1, 0], "uniques": [1, 1, 0]}
    groups = [{"country": "DE", "status": 302, **COUNTS, "series": columns}]
    answers.told["GET /v1/stats"] = ANSWER | {
        "interval": "day",
        "series": SERIES,
        "group_by": ["country", "status"],
        "groups": groups,
        "rest": {"groups": 0, "hits": 0, "clicks": 0},
    }

    done = await run("stats", "--interval", "day", "--group-by", "country,status")

    last = done.stdout.splitlines()[-1]
    assert last.split() == ["DE", "302", "1,400", "1,200", "700", "█▂▁"]


async def test_uniques_can_be_left_out(run: Run, answers: Answers) -> None:
    """Then there is no column of them."""
    counts = {"hits": 5, "clicks": 4}
    answers.told["GET /v1/stats"] = ANSWER | {
        "total": counts,
        "series": [{"start": "2026-01-01T00:00:00.000Z", **counts}],
    }

    done = await run("stats", "--interval", "hour", "--no-uniques")

    lines = done.stdout.splitlines()
    assert lines[0] == "5 hits, 4 clicks of people"
    assert lines[5].split() == ["START", "HITS", "CLICKS"]
    assert "uniques" not in done.stdout
    assert answers.asked[-1][1] == "/v1/stats?interval=hour&limit=20&uniques=false"


async def test_filters_are_passed_on(run: Run, answers: Answers) -> None:
    """Several of one field are alternatives."""
    answers.told["GET /v1/stats"] = ANSWER

    done = await run("stats", "--country", "DE", "--country", "!FR", "--bots", "only")

    assert done.exit_code == 0
    assert answers.asked[-1][1] == "/v1/stats?limit=20&country=DE&country=!FR&bots=only"


async def test_what_is_refused_is_said_in_one_sentence(run: Run, answers: Answers) -> None:
    """As the aggregator says it, with what to narrow."""
    answers.told["GET /v1/stats"] = 422

    done = await run("stats", "--group-by", "link,region")

    assert done.exit_code == 2
    assert done.stderr == "milepost: said so\n"


async def test_a_program_gets_a_line_for_each_part(run: Run, answers: Answers) -> None:
    """Each says what it is, and the first what all of them are of."""
    answers.told["GET /v1/stats"] = GROUPED | {
        "series": SERIES,
        "rows_since": "2025-12-01T00:00:00.000Z",
    }

    done = await run("stats", "--json")

    told = [json.loads(text) for text in done.stdout.splitlines()]
    assert [each["what"] for each in told] == ["total", *["bucket"] * 3, *["group"] * 2, "rest"]
    assert told[0] | COUNTS == told[0]
    assert told[0]["rows_since"] == "2025-12-01T00:00:00.000Z"


async def test_nothing_is_said_to_be_nothing(run: Run, answers: Answers) -> None:
    """And older hits that are only sums are mentioned."""
    answers.told["GET /v1/stats"] = GROUPED | {
        "groups": [],
        "rows_since": "2025-12-01T00:00:00.000Z",
    }

    done = await run("stats", "--group-by", "link")

    assert "no groups: there is nothing in this range" in done.stdout
    assert "older ones are only sums" in done.stdout


@given(counts=st.lists(st.integers(0, 10**12), max_size=200), plain=st.booleans())
def test_charts_fit_and_hide_nothing(*, counts: list[int], plain: bool) -> None:
    """A line is never longer than it may be, and what is not zero does not look like zero."""
    shown = line(counts, plain=plain)
    bars = [bar(each, max(counts), plain=plain) for each in counts]

    assert len(shown) == min(len(counts), len(shown)) <= LINE_CHARS_MAX
    assert [bool(each) for each in bars] == [count > 0 for count in counts]
    assert all(len(each) <= 20 for each in bars)
    if plain:
        assert (shown + "".join(bars)).isascii()


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o nosort"), ("zsh", "#compdef"), ("fish", "complete ")]
)
async def test_a_shell_gets_its_script(run: Run, shell: str, word: str) -> None:
    """It asks the command itself what may follow."""
    done = await run("completion", shell)

    assert done.exit_code == 0
    assert word in done.stdout
    assert "_MILEPOST_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sta", ["stats"]),
        ("stats --group-by link,reg", ["link,region"]),
        ("stats --cou", ["--country"]),
        ("stats --interval m", ["month"]),
    ],
)
def test_commands_and_values_are_completed(words: str, offered: list[str]) -> None:
    """Names of dimensions too, also of the second."""
    *before, last = words.split()

    found = BashComplete(cli, {}, "milepost", VARIABLE).get_completions(before, last)

    assert [each.value for each in found] == offered


def test_the_command_answers_its_own_script() -> None:
    """As a shell calls it, under the names that the script has."""
    done = subprocess.run(
        [sys.executable, "-m", "milepost"],
        env={VARIABLE: "bash_complete", "COMP_WORDS": "milepost sta", "COMP_CWORD": "1"},
        capture_output=True,
        check=True,
        cwd=ROOT,
    )

    assert done.stdout.decode().split() == ["plain,stats"]
