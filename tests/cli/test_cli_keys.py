"""`milepost keys`: rotating, copies, the audit trail, as a person types them."""

import json
from typing import Any

import pytest

from milepost.audit import BEFORE_THE_FIRST, next_audit_chain
from milepost.cli.keys_shown import age, opens, shown
from tests.cli.conftest import Answers, Run

ACTIVE = {"epoch": 7, "state": "active", "start_ms": 0, "end_ms": 86_400_000, "key": "ab"}
STATES = {"identity": "cd" * 32, "version": 1, "epochs": [ACTIVE]}
NEXT = {"epoch": 8, "start_ms": 5, "end_ms": 86_400_000, "version": 2}


def trail(count: int, before: bytes = BEFORE_THE_FIRST, number: int = 0) -> list[dict[str, Any]]:
    """Return *count* rows that hold together."""
    rows = []
    for each in range(number + 1, number + count + 1):
        fields = (each, 1_000, "edge", "salts", 7, 1)
        before = next_audit_chain(before, fields)
        names = ("number", "at_ms", "who", "what", "epoch", "count")
        rows.append({**dict(zip(names, fields, strict=True)), "chain": before.hex()})
    return rows


def pages(
    rows: list[dict[str, Any]], number: int = 0, chain: bytes = BEFORE_THE_FIRST
) -> list[Any]:
    """Return what the key server answers, in pages of two."""
    begins = {"number": number, "chain": chain.hex()}
    cut = [rows[at : at + 2] for at in range(0, len(rows), 2)]
    return [{"begins": begins, "rows": page} for page in [*cut, []]]


async def test_rotate_shows_what_is_and_changes_nothing(run: Run, answers: Answers) -> None:
    """Until it is told to: then the epoch that has begun."""
    answers.told["GET /v1/states"] = STATES
    answers.told["POST /v1/rotate"] = NEXT

    looked = await run("keys", "rotate")
    asked = [question[:2] for question in answers.asked]
    done = await run("keys", "rotate", "--now", "--yes")
    as_json = await run("keys", "rotate", "--now", "--yes", "--json")

    assert asked == [("GET", "/v1/states")]
    assert "epoch 7" in looked.stdout
    assert "1970-01-02 00:00:00Z" in looked.stdout
    assert "--now" in looked.stdout
    assert done.stdout.startswith("epoch 8 has begun")
    assert json.loads(as_json.stdout) == NEXT


async def test_rotating_asks_first(run: Run, answers: Answers) -> None:
    """Nobody answers, so nothing happens."""
    answers.told["GET /v1/states"] = STATES

    result = await run("keys", "rotate", "--now")

    assert result.exit_code == 1
    assert "End epoch 7 now?" in result.stderr
    assert [method for method, *_ in answers.asked] == ["GET"]


async def test_backup_shows_name_and_size(run: Run, answers: Answers) -> None:
    """With --to it says who deletes it."""
    made = {"name": "keys-x.copy", "bytes": 9, "made_ms": 0, "until_ms": 172_800_000}
    answers.told["POST /v1/backup"] = made

    usual = await run("keys", "backup")
    elsewhere = await run("keys", "backup", "--to", "/mnt/x")

    assert usual.stdout == "keys-x.copy, 9 bytes\n"
    assert "1970-01-03 00:00:00Z" in elsewhere.stdout
    assert json.loads(answers.asked[0][3]) == {}
    assert json.loads(answers.asked[1][3]) == {"to": "/mnt/x"}


async def test_the_list_is_exported_as_it_was_signed(run: Run, answers: Answers) -> None:
    """Byte by byte: the signature covers its text."""
    signed = {"list": '{"version":1,"epochs":[]}', "signature": "ab" * 64}
    answers.told["GET /v1/epochs"] = signed

    assert json.loads((await run("keys", "export-public")).stdout) == signed


async def test_audit_pages_through_and_shows_the_newest(run: Run, answers: Answers) -> None:
    """The whole trail is verified, however few rows are shown."""
    answers.told["GET /v1/audit"] = pages(trail(5))
    result = await run("keys", "audit", "--verify", "--limit", "2", "--json")

    assert result.exit_code == 0
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [4, 5]
    assert "5 rows hold together" in result.stderr
    assert [path for _, path, *_ in answers.asked] == [
        f"/v1/audit?after={after}" for after in (0, 2, 4, 5)
    ]


@pytest.mark.parametrize("fault", ["changed", "left out", "begun later"])
async def test_a_broken_trail_is_bad_news(run: Run, answers: Answers, fault: str) -> None:
    """Exit status 1, and the row's number."""
    rows = trail(4)
    match fault:
        case "changed":
            rows[2]["who"] = "nobody"
        case "left out":
            del rows[2]
        case _:
            rows = trail(2, b"x" * 32, 2)
    answers.told["GET /v1/audit"] = pages(rows)
    result = await run("keys", "audit", "--verify")

    assert result.exit_code == 1
    assert "row 1 " in result.stderr if fault == "begun later" else "row 3 " in result.stderr


async def test_a_recovered_trail_is_verified_from_there(run: Run, answers: Answers) -> None:
    """It says from which row on."""
    answers.told["GET /v1/audit"] = pages(trail(2, b"x" * 32, 6), 6, b"x" * 32)
    result = await run("keys", "audit", "--verify")

    assert result.exit_code == 0
    assert "since it was recovered at row 7" in result.stderr


def test_what_an_epoch_can_still_open() -> None:
    """Salt first, for it goes first; and how long ago the epoch was over."""
    past = ACTIVE | {"state": "past"}
    assert opens(past) == "salt, records"
    assert opens(past | {"salt_gone_ms": 1}) == "records"
    assert opens(past | {"salt_gone_ms": 1, "record_gone_ms": 2}) == "nothing"
    assert shown(past, 86_400_000 * 4)["age"] == "3 d"
    assert [age(ms) for ms in (-5, 59_999, 60_000, 7_200_000)] == ["0 s", "59 s", "1 min", "2 h"]
