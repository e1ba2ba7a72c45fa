"""Paths that nobody has chosen."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_registry.slugs import (
    ALPHABET,
    LENGTH_MAX,
    LENGTH_MIN,
    NOISE_BYTES,
    is_decent,
    slug_from,
    slugs,
)
from milepost.links import link_from
from tests.link_registry.registry_world import DESTINATION, Registry, running_registry


@given(st.binary(min_size=NOISE_BYTES, max_size=NOISE_BYTES), st.integers(LENGTH_MIN, LENGTH_MAX))
def test_a_slug_is_a_path_that_a_link_may_have(noise: bytes, length: int) -> None:
    """Of the length that was asked for, not reserved, of letters that are not mistaken."""
    slug = slug_from(noise, length)

    assert len(slug) == length
    assert set(slug) <= set(ALPHABET)
    assert link_from({"path": f"/{slug}", "destination": DESTINATION}, "x").path == f"/{slug}"


def test_no_letter_is_mistaken_for_another() -> None:
    """Read aloud or copied by hand; and without vowels hardly a word can come out."""
    assert set(ALPHABET).isdisjoint("0o1il25aeuy34")
    assert sorted(set(ALPHABET)) == sorted(ALPHABET)
    assert ALPHABET.lower() == ALPHABET


@pytest.mark.parametrize(("slug", "decent"), [("bcdfg", True), ("xfckx", False), ("8tch7", False)])
def test_what_people_take_offence_at_is_left_out(slug: str, decent: bool) -> None:  # noqa: FBT001
    """Also where a digit stands for a letter."""
    assert is_decent(slug) is decent


def test_slugs_get_longer_when_many_are_taken() -> None:
    """They end at some length: then something else is the matter."""
    lengths = [len(slug) for slug in slugs(os.urandom)]

    assert lengths == sorted(lengths)
    assert lengths[0] == LENGTH_MIN
    assert lengths[-1] == LENGTH_MAX


async def test_a_link_without_a_path_gets_a_short_one(registry: Registry) -> None:
    """One that redirects like any other."""
    answer = await registry.call("POST", "/v1/links", {"destination": DESTINATION})
    told = (await answer.json())["link"]

    assert answer.status == 201
    assert len(told["path"]) == 1 + LENGTH_MIN
    assert await registry.store.position() == 1


def _noises(*noises: bytes) -> Iterator[bytes]:
    yield from noises
    while True:
        yield os.urandom(NOISE_BYTES)


@pytest.mark.parametrize(
    ("there", "made", "free"),
    [
        ("*", "*", False),
        ("a.b", "a.b", False),
        ("*", "a.b", False),
        ("a.b", "*", False),
        ("c.d", "a.b", True),
    ],
)
async def test_a_drawn_path_is_one_that_nobody_has(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    there: str,
    made: str,
    free: bool,  # noqa: FBT001
) -> None:
    """Where it would be seen: one on every host would be hidden by one on a host, or hide it."""
    first = slug_from(bytes(NOISE_BYTES), LENGTH_MIN)
    await registry.create(f"/{first}", host=there)
    drawn = _noises(bytes(NOISE_BYTES))
    monkeypatch.setattr("link_registry.handlers.slugs", lambda _: slugs(lambda _: next(drawn)))
    body = {"destination": DESTINATION, "host": made}
    told = await (await registry.call("POST", "/v1/links", body)).json()

    assert (told["link"]["path"] == f"/{first}") is free


async def test_what_is_wrong_is_named_before_a_path_is_drawn(registry: Registry) -> None:
    """A bad destination is the caller's news, whatever chance says."""
    answer = await registry.call("POST", "/v1/links", {"destination": "tel:1"})

    assert answer.status == 400
    assert (await answer.json())["field"] == "destination"


async def test_when_no_path_is_free_it_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A source of chance that is none ends in an answer, not in a loop."""
    folder = tmp_path_factory.mktemp("registry")
    async with running_registry(folder, entropy=bytes) as registry:
        statuses = []
        for number in range(LENGTH_MAX - LENGTH_MIN + 2):
            body = {"destination": DESTINATION, "note": str(number)}
            statuses.append((await registry.call("POST", "/v1/links", body)).status)

    # The same noise gives the same id as well, which is asked again for.
    assert statuses[0] == 201
    assert set(statuses[1:]) == {503}
