"""`milepost reconcile`: whether every visit is accounted for."""

import json
from typing import Any

from tests.cli.conftest import Answers, Run

COUNTS = {
    "served": 12,
    "recorded": 9,
    "late": 1,
    "shed": 1,
    "excluded": 1,
    "lost": 1,
    "behind": 0,
    "pulled": 8,
    "waiting": 1,
    "set_aside": 0,
    "unaccounted": 0,
}
HOUR = {"region": "dfw", "hour": "2026-01-31T12:00:00.000Z"}
SPAN = {
    "region": "dfw",
    "machine": "m1",
    "life": "ab" * 16,
    "from": "2026-01-31T12:00:00.000Z",
    "until": None,
}
FINE: dict[str, Any] = {
    "total": COUNTS,
    "regions": [{"region": "dfw", **COUNTS}],
    "unaccounted": [],
    "spans": [],
    "hours": [{**HOUR, **COUNTS}],
    "next": None,
}
ALARM = FINE | {
    "total": {**COUNTS, "unaccounted": 3},
    "unaccounted": [{**HOUR, "unaccounted": 3}],
    "spans": [SPAN],
    "next": "2026-01-31T10:00:00.000Z",
}


async def test_what_adds_up_is_good_news(run: Run, answers: Answers) -> None:
    """Hours, then sums; exit status 0."""
    answers.told["GET /v1/reconciliation"] = FINE

    done = await run("reconcile")

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[1].split()[:4] == ["dfw", "2026-01-31T12:00:00.000Z", "12", "9"]
    assert lines[-1].split()[0] == "all"


async def test_what_is_unaccounted_is_bad_news(run: Run, answers: Answers) -> None:
    """Exit status 1, with the hour, the spans, and where to go on."""
    answers.told["GET /v1/reconciliation"] = ALARM

    done = await run("reconcile")

    assert done.exit_code == 1
    assert "3 clicks of dfw in the hour 2026-01-31T12:00:00.000Z are unaccounted" in done.stdout
    assert "nobody can speak for dfw (machine m1) from 2026-01-31T12" in done.stdout
    assert "--end 2026-01-31T10:00:00.000Z" in done.stdout


async def test_a_program_gets_a_row_a_line(run: Run, answers: Answers) -> None:
    """Each says what it is; the exit status is the same."""
    answers.told["GET /v1/reconciliation"] = ALARM

    done = await run("reconcile", "--json")

    assert done.exit_code == 1
    what = [json.loads(line)["what"] for line in done.stdout.splitlines()]
    assert what == ["total", "region", "unaccounted", "span", "hour"]


async def test_a_range_is_passed_on(run: Run, answers: Answers) -> None:
    """As it was typed; what was not typed is the aggregator's to decide."""
    answers.told["GET /v1/reconciliation"] = FINE

    await run("reconcile", "--region", "dfw", "--start", "1", "--end", "2", "--limit", "5")

    ((_, asked, token, _),) = answers.asked
    assert token == "read-token"
    assert asked.partition("?")[2] == "region=dfw&start=1&end=2&limit=5"


async def test_no_terminal_obeys_what_a_machine_is_called(run: Run, answers: Answers) -> None:
    """A span names it."""
    (span,) = ALARM["spans"]
    answers.told["GET /v1/reconciliation"] = {**ALARM, "spans": [{**span, "machine": "\x1b[2J"}]}

    assert "(machine \\x1b[2J)" in (await run("reconcile")).stdout
