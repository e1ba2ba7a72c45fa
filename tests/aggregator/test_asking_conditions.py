"""What filters come to in a database."""

from pathlib import Path

import pytest

from aggregator.asking.filters import Narrowing, read_filters
from aggregator.asking.store import ANY, Condition, _after, resolve
from aggregator.rolling.fields import FIELD_NUMBERS, FROM_HIT, MISSING
from tests.aggregator.rolled_world import Row, Small, dimension_of


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a database of some hits."""
    made = Small(tmp_path, 3)
    for _ in range(4):
        made.add_batch(50)
    return made


def found(small: Small, condition: Condition) -> set[tuple[int, int]]:
    """Return the places of the hits that meet *condition*."""
    sql = f"SELECT hit.batch, hit.idx FROM {FROM_HIT} WHERE {condition.sql}"
    return {*small.db.execute(sql, condition.values)}


def value_of(row: Row, name: str) -> str | int | None:
    """Return what *row* has in field *name*."""
    if name == "url":
        return row.texts["host"] + row.texts["path"]
    return row.agent if name == "agent" else dimension_of(row, name)


@pytest.mark.parametrize(
    ("name", "texts", "wanted"),
    [
        ("country", ["DE"], {"DE"}),
        ("country", ["DE", "FR", ""], {"DE", None}),
        ("country", ["!DE"], {"US", None}),
        ("country", ["!DE", "!"], {"US"}),
        ("country", ["!FR"], {"DE", "US", None}),
        ("status", ["301", "404"], {301, 404}),
        ("device", ["mobile"], {"mobile"}),
        ("class", ["!human"], {"library", "bot"}),
        ("referrer", [""], {None}),
        ("agent", ["firefox"], {"firefox"}),
        ("url", ["https://h.example/a", "i.example/b"], {"h.example/a", "i.example/b"}),
        ("url", ["h.example/*", "i.example/b"], {"h.example/a", "h.example/b", "i.example/b"}),
        ("url", ["!h.*"], {"i.example/a", "i.example/b"}),
    ],
)
def test_a_condition_finds_what_is_meant(
    small: Small, name: str, texts: list[str], wanted: set[str | int | None]
) -> None:
    """As a plain comparison of each row finds it."""
    condition = resolve(small.db, read_filters({name: texts}))

    expected = {(row.batch, row.idx) for row in small.rows if value_of(row, name) in wanted}
    assert expected
    assert found(small, condition) == expected


def test_bots_are_not_an_alternative_to_a_class(small: Small) -> None:
    """Two filters on the same column narrow each other when they are two parameters."""
    condition = resolve(small.db, read_filters({"class": ["bot"], "bots": ["exclude"]}))

    assert found(small, condition) == set()


@pytest.mark.parametrize(
    "told", [{"country": ["XX"]}, {"url": ["nowhere.example/a*"]}, {"target": ["ftp:*"]}]
)
def test_what_was_never_seen_cannot_match(small: Small, told: dict[str, list[str]]) -> None:
    """Then no row need be looked at; and to be none of it is no condition at all."""
    assert not resolve(small.db, read_filters(told)).possible
    negated = {name: [f"!{text}" for text in texts] for name, texts in told.items()}
    assert resolve(small.db, read_filters(negated)) == Condition()


def test_terms_name_each_alternative(small: Small) -> None:
    """A block must have one of them; to be there, or not, has a number of its own."""
    told = {"country": ["DE", "US"], "link": ["one", ""], "url": ["h.example/a"], "cut": ["!"]}
    condition = resolve(small.db, read_filters(told))

    fields = [[term.field for term in terms] for terms in condition.terms]
    names = [["country"] * 2, ["link"] * 2, ["host"], ["path"], ["cut"]]
    assert fields == [[FIELD_NUMBERS[name] for name in group] for group in names]
    assert min(condition.terms[1]).value == MISSING
    assert condition.terms[-1][0].value == ANY


def test_a_caller_sees_no_more_than_it_may(small: Small) -> None:
    """Whatever is asked for, and nothing at all where nothing is allowed."""
    narrow = Narrowing(hosts=frozenset({"h.example", "new.example"}), links=frozenset({"one"}))
    condition = resolve(small.db, read_filters({"host": ["i.example", "h.example"]}), narrow)

    expected = {
        (row.batch, row.idx)
        for row in small.rows
        if row.texts["host"] == "h.example" and row.texts.get("link") == "one"
    }
    assert found(small, condition) == expected
    assert not resolve(small.db, (), Narrowing(hosts=frozenset())).possible
    assert not resolve(small.db, (), Narrowing(links=frozenset({"unknown"}))).possible


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a", "b"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", b""),
        ("x\ud7ff", "x\ue000"),
        ("\x00", "\x01"),
    ],
)
def test_the_end_of_a_beginning(text: str, after: str | bytes) -> None:
    """The first value in SQLite's order that does not begin so."""
    assert _after(text) == after
