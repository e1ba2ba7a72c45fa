"""`milepost tokens`: further tokens."""

import json
import time
from typing import Any

import pytest

from tests.cli.conftest import Answers, Run

TOKEN: dict[str, Any] = {
    "name": "reports",
    "state": "active",
    "scopes": ["hits:read"],
    "hosts": ["go.example"],
    "tags": [],
    "rate": 600,
    "created_ms": 1_763_640_000_000,
    "created_by": "operator",
    "expires_ms": 1_763_640_000_000,
    "revoked_ms": None,
    "last_used": "2025-11-20",
}


async def test_a_token_is_made_and_printed_alone(run: Run, answers: Answers) -> None:
    """So that a script can take it; what is said besides goes to standard error."""
    answers.told["POST /v1/tokens"] = {"token": TOKEN, "secret": "milepost_secret"}
    begun = int(time.time() * 1000)

    done = await run(
        *("tokens", "create", "reports", "--scope", "hits:read", "--scope", "hits:write"),
        *("--host", "go.example", "--tag", "spring", "--expires", "30d", "--rate", "60"),
    )

    assert done.exit_code == 0, done.output
    assert done.stdout == "milepost_secret\n"
    assert "once" in done.stderr
    ((method, path, token, content),) = answers.asked
    asked = json.loads(content)
    assert (method, path, token) == ("POST", "/v1/tokens", "operator-token")
    assert asked.pop("expires_ms") >= begun + 30 * 86_400_000
    assert asked == {
        "name": "reports",
        "scopes": ["hits:read", "hits:write"],
        "hosts": ["go.example"],
        "tags": ["spring"],
        "rate": 60,
    }


async def test_a_program_gets_all_of_it(run: Run, answers: Answers) -> None:
    """Together with the token; what was not typed is the service's to decide."""
    answers.told["POST /v1/tokens"] = {"token": TOKEN, "secret": "milepost_secret"}

    done = await run("tokens", "create", "reports", "--scope", "hits:read", "--json")

    assert json.loads(done.stdout) == TOKEN | {"secret": "milepost_secret"}
    ((_, _, _, content),) = answers.asked
    assert set(json.loads(content)) == {"name", "scopes", "hosts", "tags"}


@pytest.mark.parametrize("wrong", ["30", "d", "0d", "30y", "-1d", "1.5h"])
async def test_a_wrong_time_is_named(wrong: str, run: Run, answers: Answers) -> None:
    """Nobody is asked."""
    done = await run("tokens", "create", "a", "--scope", "hits:read", "--expires", wrong)

    assert done.exit_code == 2
    assert "such as 30d" in done.output
    assert answers.asked == []


async def test_tokens_are_listed(run: Run, answers: Answers) -> None:
    """What is not restricted says so."""
    answers.told["GET /v1/tokens"] = {"tokens": [TOKEN]}

    table = await run("tokens", "list", "--service", "links")
    rows = await run("tokens", "list", "--json")

    assert table.stdout.splitlines()[1].split() == [
        *("reports", "active", "hits:read", "go.example", "all", "600"),
        *("2025-11-20", "12:00:00Z", "2025-11-20", "operator"),
    ]
    assert json.loads(rows.stdout) == TOKEN


async def test_no_tokens_are_told_as_that(run: Run, answers: Answers) -> None:
    """Rather than an empty table."""
    answers.told["GET /v1/tokens"] = {"tokens": []}

    assert (await run("tokens", "list")).stdout == "no tokens are kept here\n"


async def test_a_token_is_revoked(run: Run, answers: Answers) -> None:
    """By its name, whatever is in it."""
    answers.told["DELETE /v1/tokens/a/b"] = {}

    done = await run("tokens", "revoke", "a/b")

    assert done.stdout == "a/b is revoked\n"
    assert answers.asked[0][1] == "/v1/tokens/a%2Fb"


async def test_a_refusal_is_one_sentence(run: Run, answers: Answers) -> None:
    """With what to do."""
    answers.told["POST /v1/tokens"] = 403

    done = await run("tokens", "create", "a", "--scope", "hits:write")

    assert done.exit_code == 2
    assert done.stderr.strip() == "milepost: said so; use a token that has it"
