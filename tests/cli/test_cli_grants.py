"""`milepost grants`: links with an owner and an end."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answers, Run

GRANT: dict[str, Any] = {
    "id": "g1",
    "owner": "ada",
    "state": "active",
    "exclusive": True,
    "link": "01jd",
    "host": "*",
    "path": "/k3v9x2ab",
    "destination": "https://lab.example/7",
    "metadata": {},
    "cleanup_ids": ["vm-1", "vm-2"],
    "cleaned": [],
    "failed": [],
    "created_ms": 0,
    "ends_ms": 60_000,
    "ended_ms": None,
}
FAILED = GRANT | {
    "id": "g2",
    "state": "cleaning",
    "path": None,
    "cleaned": ["vm-1"],
    "failed": [{"id": "vm-2", "failures": 3, "reason": "status 500"}],
    "ended_ms": 60_000,
}


async def test_a_grant_is_made_and_its_address_shown(run: Run, answers: Answers) -> None:
    """What was not said is not sent; the address is the one to hand out."""
    answers.told["POST /v1/grants"] = {"grant": GRANT}
    words = ("--destination", "https://lab.example/7", "--minutes", "1", "--exclusive")
    done = await run("grants", "create", "ada", *words, "--cleanup", "vm-1", "--cleanup", "vm-2",
                     "--metadata", '{"lab": 7}')  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "http://127.0.0.1:8080/k3v9x2ab leads to https://lab.example/7" in done.stdout
    assert "until 1970-01-01 00:01:00Z (grant g1)" in done.stdout
    assert json.loads(answers.asked[0][3]) == {
        "owner": "ada",
        "duration_minutes": 1,
        "destination": "https://lab.example/7",
        "exclusive": True,
        "cleanup_ids": ["vm-1", "vm-2"],
        "metadata": {"lab": 7},
    }


async def test_metadata_can_come_from_a_file(run: Run, answers: Answers, tmp_path: Path) -> None:
    """Behind an @; what is no JSON is said before anybody is asked."""
    answers.told["POST /v1/grants"] = {"grant": GRANT}
    (tmp_path / "m.json").write_text('{"a": [1]}')
    create = ("grants", "create", "ada", "--slug", "lab", "--minutes", "1", "--metadata")
    await run(*create, f"@{tmp_path / 'm.json'}")
    wrong = await run(*create, "{nonsense")

    assert json.loads(answers.asked[0][3])["metadata"] == {"a": [1]}
    assert wrong.exit_code == 2
    assert len(answers.asked) == 1


async def test_the_list_says_what_is_cleaned_up(run: Run, answers: Answers) -> None:
    """Of every page; and programs get an object a line."""
    pages = [{"grants": [GRANT], "next": "c"}, {"grants": [FAILED], "next": None}]
    answers.told["GET /v1/grants"] = list(pages)
    table = await run("grants", "ls", "--owner", "ada")
    answers.told["GET /v1/grants"] = list(pages)
    lines = (await run("grants", "ls", "--json")).stdout.splitlines()

    assert table.exit_code == 0
    assert "1 of 2 done" in table.stdout
    assert "vm-2: status 500 (3x)" in table.stdout
    assert [json.loads(line)["id"] for line in lines] == ["g1", "g2"]
    assert answers.asked[1][1] == "/v1/grants?owner=ada&limit=100&cursor=c"


async def test_failures_are_a_status_for_a_monitor(run: Run, answers: Answers) -> None:
    """1 while there are any, 0 when there are none."""
    clean = FAILED | {"id": "g3", "failed": []}
    answers.told["GET /v1/grants"] = {"grants": [FAILED, clean], "next": None}
    some = await run("grants", "ls", "--failed", "--json")
    answers.told["GET /v1/grants"] = {"grants": [clean], "next": None}
    none = await run("grants", "ls", "--failed")

    assert [json.loads(line)["id"] for line in some.stdout.splitlines()] == ["g2"]
    assert (some.exit_code, none.exit_code) == (1, 0)
    assert none.stdout == "no such grants\n"
    assert answers.asked[0][1] == "/v1/grants?state=cleaning&limit=100"


@pytest.mark.parametrize(
    ("words", "call", "said"),
    [
        (("get", "g/1"), "GET /v1/grants/g/1", "ada"),
        (("extend", "g1", "5"), "POST /v1/grants/g1/extend", "g1 ends 1970-01-01 00:01:00Z"),
        (("end", "g1"), "POST /v1/grants/g1/end", "g1 has ended; 2 cleanups"),
    ],
)
async def test_one_grant(
    run: Run, answers: Answers, words: tuple[str, ...], call: str, said: str
) -> None:
    """Shown, put off, ended; with --json the whole of it."""
    answers.told[call] = {"grant": GRANT}
    done = await run("grants", *words)
    as_json = await run("grants", *words, "--json")

    assert said in done.stdout
    assert json.loads(as_json.stdout) == GRANT


async def test_a_refusal_is_one_sentence(run: Run, answers: Answers) -> None:
    """With status 2, as ever."""
    answers.told["POST /v1/grants/g1/end"] = 409
    done = await run("grants", "end", "g1")

    assert done.exit_code == 2
    assert done.stderr == "milepost: said so\n"


async def test_a_key_goes_with_the_call(run: Run, answers: Answers) -> None:
    """So that a command whose answer was lost can be given again."""
    answers.told["POST /v1/grants"] = {"grant": GRANT}
    create = ("grants", "create", "ada", "--slug", "lab", "--minutes", "1")
    await run(*create)
    await run(*create, "--key", "job-7")

    assert answers.keys == ["job-7"]


ABANDONED = FAILED | {"state": "abandoned", "abandoned_ms": 60_000, "abandoned_by": "ops"}


async def test_giving_up_a_clean_up_is_asked_first(run: Run, answers: Answers) -> None:
    """With the names of what then has to be deleted by hand; who says no changes nothing."""
    answers.told["GET /v1/grants/g2"] = {"grant": FAILED}
    answers.told["POST /v1/grants/g2/abandon"] = {"grant": ABANDONED}
    asked = await run("grants", "abandon", "g2")
    calls = len(answers.asked)
    done = await run("grants", "abandon", "g2", "--yes")

    assert asked.exit_code == 1
    assert "g2: not cleaned up: vm-2" in asked.stderr
    assert calls == 1
    assert done.stdout == "g2 is abandoned; 1 cleanups are not done\n"
    assert [method for method, *_ in answers.asked] == ["GET", "POST"]


async def test_who_gave_up_is_shown(run: Run, answers: Answers) -> None:
    """Beside what failed, and no monitor is told of it any more."""
    answers.told["GET /v1/grants"] = {"grants": [ABANDONED], "next": None}
    result = await run("grants", "ls", "--state", "abandoned")

    assert answers.asked[0][1] == "/v1/grants?state=abandoned&limit=100"
    assert "abandoned by ops at 1970-01-01 00:01:00Z; vm-2: status 500 (3x)" in result.stdout
