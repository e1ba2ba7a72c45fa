"""`milepost keys destroy` and `receipts`: what is shown before, and what is proven after."""

import json
from random import Random
from typing import Any

import nacl.bindings as sodium
import orjson

from milepost.receipts import Receipt, What, hash_of, sign_receipt
from milepost.vocabulary import Epoch, KeyId, Millis
from tests.cli.conftest import Answers, Run

IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(Random(1).randbytes(32))
FREE = {"epoch": 7, "what": "record", "destroyed": False, "held_back": False}
HELD = FREE | {
    "held_back": True,
    "known": True,
    "clicks": 12,
    "why": "one stream lags",
    "streams": ["ab" * 16],
}


def receipt(what: What = What.RECORD) -> Any:
    """Return a signed receipt."""
    told = Receipt(
        epoch=Epoch(7),
        what=what,
        at_ms=Millis(1_763_640_000_000),
        key=KeyId(b"k" * 8),
        public_hash=hash_of(b"public"),
        wrapped_hash=hash_of(b"wrapped"),
        clicks=0,
        no_copy_after_ms=Millis(1_763_812_800_000),
    )
    return orjson.loads(sign_receipt(told, SIGNING_KEY))


def posted(answers: Answers) -> list[Any]:
    """Return what was sent to be destroyed."""
    return [json.loads(body) for method, _, _, body in answers.asked if method == "POST"]


async def test_what_nothing_needs_is_destroyed_once_said_yes(run: Run, answers: Answers) -> None:
    """Shown is what it means, and until when copies live."""
    answers.told["GET /v1/destroy"] = FREE
    answers.told["POST /v1/destroy"] = {"receipt": receipt()}

    done = await run("keys", "destroy", "7", "--record", "--yes")

    assert done.exit_code == 0
    assert "nothing that is sealed to the epoch can be opened" in done.stdout
    assert "record destroyed at 2025-11-20 12:00:00Z; no copy after 2025-11-22" in done.stdout
    assert posted(answers) == [{"epoch": 7, "what": "record"}]


async def test_it_asks_first(run: Run, answers: Answers) -> None:
    """Nobody there to say yes: nothing is destroyed."""
    answers.told["GET /v1/destroy"] = FREE

    ended = await run("keys", "destroy", "7", "--record")

    assert ended.exit_code == 1
    assert "cannot be undone" in ended.stdout
    assert posted(answers) == []


async def test_what_is_needed_stays_unless_forced(run: Run, answers: Answers) -> None:
    """Forced with the number that was shown."""
    answers.told["GET /v1/destroy"] = HELD
    answers.told["POST /v1/destroy"] = {"receipt": receipt()}

    held = await run("keys", "destroy", "7", "--record", "--yes")
    assert posted(answers) == []
    forced = await run("keys", "destroy", "7", "--record", "--yes", "--force")

    assert (held.exit_code, forced.exit_code) == (2, 0)
    assert "still needed for 12 records in 1 logs: one stream lags" in held.stdout
    assert "--force" in held.stderr
    assert posted(answers) == [{"epoch": 7, "what": "record", "force_clicks": 12}]


async def test_without_a_choice_both_go(run: Run, answers: Answers) -> None:
    """First the salt, then the record key; what is gone is not destroyed again."""
    answers.told["GET /v1/destroy"] = [FREE | {"what": "salt", "destroyed": True}, FREE]
    answers.told["POST /v1/destroy"] = {"receipt": receipt()}

    done = await run("keys", "destroy", "7", "--yes")

    assert done.exit_code == 0
    assert "salt of epoch 7: destroyed already" in done.stdout
    assert posted(answers) == [{"epoch": 7, "what": "record"}]


def listed(*documents: Any) -> list[Any]:
    """Return the pages that a key server answers."""
    numbered = [{"number": number, **each} for number, each in enumerate(documents, 1)]
    told = {"identity": IDENTITY.hex()}
    return [told | {"receipts": numbered}, told | {"receipts": []}]


async def test_receipts_are_checked(run: Run, answers: Answers) -> None:
    """All good: exit status 0; programs get the document as well."""
    both = (receipt(What.SALT), receipt())
    answers.told["GET /v1/receipts"] = listed(*both)
    table = await run("keys", "receipts", "--verify")
    answers.told["GET /v1/receipts"] = listed(*both)
    lines = (await run("keys", "receipts", "--verify", "--json")).stdout.splitlines()

    assert table.exit_code == 0
    assert IDENTITY.hex() in table.stdout
    assert [json.loads(line)["signature"] for line in lines] == ["good", "good"]
    assert json.loads(lines[1])["document"] == both[1]


async def test_a_receipt_that_fails_is_bad_news(run: Run, answers: Answers) -> None:
    """The others are still told; unchecked, nothing is called good."""
    forged = receipt()
    forged["receipt"] = forged["receipt"].replace('"epoch":7', '"epoch":8')
    answers.told["GET /v1/receipts"] = listed(receipt(), forged)
    checked = await run("keys", "receipts", "--verify")
    answers.told["GET /v1/receipts"] = listed(receipt(), forged)
    unchecked = await run("keys", "receipts")

    assert (checked.exit_code, unchecked.exit_code) == (1, 0)
    assert "BAD" in checked.stdout
    assert "good" in checked.stdout
    assert "good" not in unchecked.stdout


async def test_nothing_destroyed_is_said(run: Run, answers: Answers) -> None:
    """In words."""
    answers.told["GET /v1/receipts"] = listed()[1]

    assert "nothing has been destroyed yet" in (await run("keys", "receipts")).stdout
