"""`milepost erase`, `retention` and `reclassify`: what is shown before, and what after."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Answers, Run

RULE: dict[str, Any] = {
    "link": "01jd",
    "at": "2026-01-31T12:00:00.000Z",
    "who": "operator",
    "removed": 7,
    "carried_out": 1.0,
    "done": "2026-01-31T12:00:01.000Z",
    "kept": True,
}
PROSPECT = {"link": "01jd", "dry_run": True, "hits": 7, "counted": 9}
AGES = [{"kind": "link", "before": "2026-01-01T00:00:00.000Z", "hits": 5}]
MOVED = {"link": "01jd", "from": "human", "to": "bot", "hits": 4, "clicks": 3}


async def test_what_is_erased_is_shown_before_it_is(run: Run, answers: Answers) -> None:
    """With its number; then the rule is made, and followed to its end."""
    answers.told["POST /v1/erase"] = [PROSPECT, {"rule": {**RULE, "done": None}}]
    answers.told["GET /v1/erase"] = {"rules": [RULE]}

    done = await run("erase", "link", "01jd", "--yes")

    assert done.exit_code == 0, done.output
    assert "link 01jd: 7 hits, and 2 that are only counted any more" in done.stdout
    assert "done" in done.stdout
    bodies = [json.loads(body) for method, _, _, body in answers.asked if method == "POST"]
    assert bodies == [{"link": "01jd", "dry_run": True}, {"link": "01jd"}]


@pytest.mark.parametrize("words", [("--dry-run",), ()])
async def test_nothing_is_erased_unasked(
    run: Run, answers: Answers, words: tuple[str, ...]
) -> None:
    """Neither in a dry run, nor when nobody says yes."""
    answers.told["POST /v1/erase"] = [PROSPECT]

    await run("erase", "host", "a.example", *words)

    assert [json.loads(each[3]) for each in answers.asked] == [
        {"host": "a.example", "dry_run": True}
    ]


async def test_rules_are_listed(run: Run, answers: Answers) -> None:
    """As a table, with how far each is; programs get an object a line."""
    half = {**RULE, "link": "other", "done": None, "carried_out": 0.5, "kept": False}
    answers.told["GET /v1/erase"] = {"rules": [RULE, half]}

    table = (await run("erase", "ls")).stdout
    lines = (await run("erase", "ls", "--json")).stdout.splitlines()

    assert "50% carried out" in table
    assert [json.loads(line)["link"] for line in lines] == ["01jd", "other"]


async def test_old_hits_are_counted_before_they_go(run: Run, answers: Answers) -> None:
    """Call after call, until there are no more."""
    answers.told["POST /v1/retention"] = [
        {"kinds": AGES, "dry_run": True, "more": False},
        {"kinds": [{**AGES[0], "hits": 3}], "dry_run": False, "more": True},
        {"kinds": [{**AGES[0], "hits": 2}], "dry_run": False, "more": False},
    ]

    done = await run("retention", "--yes")

    assert "5 hits removed" in done.stdout
    assert len(answers.asked) == 3


async def test_nothing_too_old_is_left_alone(run: Run, answers: Answers) -> None:
    """No question is asked about nothing."""
    answers.told["POST /v1/retention"] = {"kinds": [], "dry_run": True, "more": False}

    assert (await run("retention")).stdout == "all hits are kept for ever\n"


async def test_what_changes_its_class_is_shown_first(run: Run, answers: Answers) -> None:
    """Link by link; then agents are described, call after call."""
    prospect = {"agents": 3, "changed": 1, "hits": 4, "clicks": 3, "links": [MOVED]}
    answers.told["POST /v1/reclassify"] = [
        prospect,
        {"agents": 2, "changed": 1, "hits": 4, "left": 1},
        {"agents": 1, "changed": 0, "hits": 0, "left": 0},
    ]

    done = await run("reclassify", "--yes")

    assert "3 user agents were described by older lists, 1 of them differently" in done.stdout
    assert "human" in done.stdout
    assert "3 user agents described anew, 1 changed" in done.stdout


async def test_a_dry_run_describes_nothing(run: Run, answers: Answers) -> None:
    """Programs get what would change."""
    prospect = {"agents": 3, "changed": 1, "hits": 4, "clicks": 3, "links": [MOVED]}
    answers.told["POST /v1/reclassify"] = [prospect]

    done = await run("reclassify", "--dry-run", "--json")

    assert json.loads(done.stdout) == prospect
