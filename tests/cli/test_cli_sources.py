"""`milepost sources abandon`, and what the list says of forks and of what is written off."""

import json
from typing import Any

import pytest

from milepost.cli.sources import news
from tests.cli.conftest import Answers, Run

STREAM = "ab" * 16
ABANDON = "/v1/sources/abandon"
LOST: dict[str, Any] = {
    "streams": [
        {"stream": STREAM, "source": "u", "records": 7, "abandoned": False, "fault": "a gap"}
    ],
    "records": 7,
    "unreadable": [f"{STREAM}.db"],
}


async def test_what_is_written_off_is_shown_before_it_is(run: Run, answers: Answers) -> None:
    """With its number, its reason and the file that cannot be read."""
    answers.told[f"GET {ABANDON}"] = answers.told[f"POST {ABANDON}"] = LOST

    done = await run("sources", "abandon", STREAM, "--yes")

    assert done.exit_code == 0
    assert f"{STREAM}: 7 records in 1 streams" in done.stdout
    assert "a gap" in done.stdout
    assert f"cannot read {STREAM}.db" in done.stdout
    assert done.stdout.endswith("7 records of 1 streams are written off\n")
    assert [each[:3] for each in answers.asked] == [
        ("GET", f"{ABANDON}?stream={STREAM}", "operator-token"),
        ("POST", ABANDON, "operator-token"),
    ]
    assert json.loads(answers.asked[1][3]) == {"stream": STREAM}


async def test_a_source_is_named_by_its_address(run: Run, answers: Answers) -> None:
    """Anything that is no stream's id."""
    answers.told[f"GET {ABANDON}"] = answers.told[f"POST {ABANDON}"] = LOST

    await run("sources", "abandon", "http://e1:8081", "--yes")

    assert json.loads(answers.asked[1][3]) == {"source": "http://e1:8081"}


async def test_without_a_yes_nothing_is_written_off(run: Run, answers: Answers) -> None:
    """Nobody answers here, so that is a no."""
    answers.told[f"GET {ABANDON}"] = LOST

    done = await run("sources", "abandon", STREAM)

    assert done.exit_code == 1
    assert [each[0] for each in answers.asked] == ["GET"]


async def test_a_refusal_says_why(run: Run, answers: Answers) -> None:
    """In the service's words, and exit status 2."""
    answers.told[f"GET {ABANDON}"] = 409

    done = await run("sources", "abandon", STREAM, "--yes")

    assert (done.exit_code, done.stderr) == (2, "milepost: said so\n")


@pytest.mark.parametrize("words", [("sources",), ("sources", "ls")])
async def test_forks_and_what_is_written_off_stand_below_the_table(
    run: Run, answers: Answers, words: tuple[str, ...]
) -> None:
    """Told, and no bad news: nothing has to be done about either."""
    streams: list[dict[str, Any]] = [
        {"stream": "aa", "forked": "2026-01-31T12:00:00.000Z"},
        {"stream": "bb", "fault": "a gap", "abandoned": "2026-02-01", "written_off": 7},
    ]
    source: dict[str, Any] = {"url": "u", "region": "dfw", "last_success": "…", "streams": streams}
    source["unreadable"] = ["bb.db"]
    answers.told["GET /v1/sources"] = {"sources": [source]}

    done = await run(*words)

    assert done.exit_code == 0
    assert done.stdout.splitlines()[-2:] == [
        "stream aa of dfw: its file has another history since 2026-01-31T12:00:00.000Z",
        "stream bb of dfw: 7 records written off at 2026-02-01",
    ]
    still = [{**streams[1], "abandoned": None}]
    assert news({**source, "streams": still}) == "cannot read bb.db; stream bb: a gap"


async def test_what_is_not_to_be_had_says_what_to_do(run: Run, answers: Answers) -> None:
    """A source that is gone, and a stream that no machine has any more."""
    source = {"url": "u", "region": "dfw", "state": "gone", "last_success": "…"}
    vanished = {"stream": "aa", "present": False, "lag_records": 3}
    behind = {"stream": "bb", "present": True, "lag_records": 3}
    answers.told["GET /v1/sources"] = {
        "sources": [{**source, "streams": [vanished, behind]}],
        "set_aside": {"batches": 1, "records": 0},
    }

    done = await run("sources")

    assert done.exit_code == 1
    assert "`milepost sources abandon u` writes it off" in done.stdout
    assert "stream aa of dfw: no machine has the 3 records any more" in done.stdout
    assert "`milepost sources abandon aa`" in done.stdout
    assert "abandon bb" not in done.stdout
    assert "1 batches (0 records) set aside" in done.stdout


async def test_no_terminal_obeys_what_a_source_says(run: Run, answers: Answers) -> None:
    """Also below the table, and in a reason for what would be written off."""
    answers.told["GET /v1/sources"] = {
        "sources": [{"url": "u", "region": "\x1b[2J", "streams": [{"stream": "aa", "forked": "x"}]}]
    }
    (stream,) = LOST["streams"]
    answers.told[f"GET {ABANDON}"] = {**LOST, "streams": [{**stream, "fault": "\x1b[2J"}]}

    done = await run("sources"), await run("sources", "abandon", STREAM)

    assert ["\x1b" in each.stdout for each in done] == [False, False]
    assert [each.stdout.count("\\x1b[2J") for each in done] == [2, 1]
