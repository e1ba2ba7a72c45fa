"""`milepost set-aside`: why something is no hit, and trying again."""

import json

from tests.cli.conftest import Answers, Run

BATCH = {"batch": "ab" * 16, "stream": "cd" * 16, "seq": 4, "epoch": 9, "count": 20, "reason": "R1"}
RECORD = {"id": "ab:3", "stream": "cd" * 16, "seq": 5, "epoch": 9, "reason": "R2", "fields": {}}
LISTED = {"total": {"batches": 1, "records": 21}, "batches": [BATCH], "records": [RECORD]}


async def test_batches_and_records_stand_in_one_table(run: Run, answers: Answers) -> None:
    """Each with its reason; programs get an object a line."""
    answers.told["GET /v1/set-aside"] = LISTED

    table = await run("set-aside", "ls")
    lines = (await run("set-aside", "ls", "--json")).stdout.splitlines()

    assert table.exit_code == 0
    assert "R1" in table.stdout
    assert "R2" in table.stdout
    assert [json.loads(line)["what"] for line in lines] == ["batch", "record"]


async def test_what_is_not_shown_is_counted(run: Run, answers: Answers) -> None:
    """A list that was cut says so."""
    answers.told["GET /v1/set-aside"] = LISTED | {"total": {"batches": 9, "records": 99}}

    assert "99 records in all" in (await run("set-aside", "ls")).stdout


async def test_nothing_set_aside_is_said(run: Run, answers: Answers) -> None:
    """An empty answer is good news, in words."""
    answers.told["GET /v1/set-aside"] = {
        "total": {"batches": 0, "records": 0},
        "batches": [],
        "records": [],
    }

    assert (await run("set-aside", "ls")).stdout == "nothing is set aside\n"


async def test_a_retry_says_what_came_of_it(run: Run, answers: Answers) -> None:
    """Exit status 1 while something still cannot be read; shown is the operator's token."""
    answers.told["POST /v1/set-aside/retry"] = {"opened": 2, "hits": 7, "set_aside": 1}
    some = await run("set-aside", "retry")
    answers.told["POST /v1/set-aside/retry"] = {"opened": 1, "hits": 3, "set_aside": 0}
    none = await run("set-aside", "retry", "--json")

    assert (some.exit_code, none.exit_code) == (1, 0)
    assert "2 batches opened, 7 hits; 1 batches stay set aside" in some.stdout
    assert json.loads(none.stdout) == {"opened": 1, "hits": 3, "set_aside": 0}
    assert {token for _, _, token, _ in answers.asked} == {"operator-token"}


async def test_a_damaged_batch_says_what_helps(run: Run, answers: Answers) -> None:
    """No retry does."""
    answers.told["GET /v1/set-aside"] = LISTED | {"batches": [{**BATCH, "damaged": True}]}

    assert "damaged: not as it was written" in (await run("set-aside", "ls")).stdout
