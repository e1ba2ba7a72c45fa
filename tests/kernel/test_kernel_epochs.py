"""The signed list of epochs."""

from typing import Any

import nacl.bindings as sodium
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.epochs import EpochList, PublicEpoch, sign_list, verify_list
from milepost.errors import RejectedError
from milepost.vocabulary import Epoch, Millis
from tests.kernel.kernel_values import NOW, json_values

IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(b"i" * 32)
_, OTHER_SIGNING_KEY = sodium.crypto_sign_seed_keypair(b"o" * 32)
DAY_MS = 86_400_000


def an_epoch(number: int) -> PublicEpoch:
    """Return epoch *number*, a day long."""
    return PublicEpoch(
        number=Epoch(number),
        start_ms=Millis(number * DAY_MS),
        end_ms=Millis((number + 1) * DAY_MS),
        record_key=bytes([number % 256]) * 32,
        address_key=bytes([(number + 1) % 256]) * 32,
    )


EPOCHS = tuple(map(an_epoch, range(100, 149)))
LIST = EpochList(NOW, EPOCHS)


def a_document() -> Any:
    """Return a list as the key server publishes it."""
    return orjson.loads(sign_list(NOW, EPOCHS, SIGNING_KEY))


def test_a_signed_list_comes_back() -> None:
    """What was signed is what is believed."""
    assert verify_list(a_document(), IDENTITY) == LIST


def test_a_list_of_another_server_is_refused() -> None:
    """Only the configured identity counts."""
    document = orjson.loads(sign_list(NOW, EPOCHS, OTHER_SIGNING_KEY))

    with pytest.raises(RejectedError, match="not signed by the configured key server"):
        verify_list(document, IDENTITY)


@given(st.integers(0, 10_000), st.sampled_from("0123456789"))
def test_a_list_that_was_touched_is_refused(at: int, digit: str) -> None:
    """One other character anywhere in the text is enough."""
    document = a_document()
    text = document["list"]
    at %= len(text)
    document["list"] = text[:at] + digit + text[at + 1 :]

    if text[at] == digit:
        assert verify_list(document, IDENTITY) == LIST
    else:
        with pytest.raises(RejectedError):
            verify_list(document, IDENTITY)


@given(json_values)
def test_nonsense_is_not_a_list(document: Any) -> None:
    """A cache file on disk may hold anything."""
    with pytest.raises(RejectedError):
        verify_list(document, IDENTITY)


@given(json_values)
def test_signed_nonsense_is_refused(content: Any) -> None:
    """A signature makes nothing well-formed."""
    text = orjson.dumps({"version": 1, "epochs": [content]})
    signature = sodium.crypto_sign(text, SIGNING_KEY)[:64]

    with pytest.raises(RejectedError):
        verify_list({"list": text.decode(), "signature": signature.hex()}, IDENTITY)


@given(st.integers(100 * DAY_MS, 149 * DAY_MS - 1))
def test_a_moment_inside_the_list_has_its_own_epoch(now: int) -> None:
    """Half-open spans: every moment has one epoch, and never two."""
    epoch = LIST.at(Millis(now))

    assert epoch is not None
    assert epoch.start_ms <= now < epoch.end_ms
    assert LIST.covers(Millis(now))


def test_the_end_of_an_epoch_starts_the_next() -> None:
    """No millisecond belongs to two epochs, or to none."""
    end = EPOCHS[0].end_ms

    assert LIST.at(Millis(end - 1)) == EPOCHS[0]
    assert LIST.at(end) == EPOCHS[1]


@pytest.mark.parametrize(
    ("now", "number"),
    [(0, 100), (100 * DAY_MS - 1, 100), (149 * DAY_MS, 148), (1 << 50, 148)],
    ids=["long before", "just before", "just after", "long after"],
)
def test_a_clock_outside_the_list_seals_to_the_nearest_epoch(now: int, number: int) -> None:
    """And the list says that it does not cover the moment."""
    epoch = LIST.at(Millis(now))

    assert epoch is not None
    assert epoch.number == number
    assert not LIST.covers(Millis(now))


def test_an_empty_list_has_no_epoch() -> None:
    """There is nothing to seal to, and nothing is covered."""
    empty = EpochList(NOW, ())

    assert empty.at(NOW) is None
    assert not empty.covers(NOW)


def test_a_key_id_names_both_keys() -> None:
    """Another key of either kind is another id."""
    epoch, other = an_epoch(1), an_epoch(2)

    assert len(epoch.key_id) == 8
    assert epoch.key_id != other.key_id
