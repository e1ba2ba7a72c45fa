"""Rules as people send them, and as they are kept."""

import sys
from typing import Any

import pytest
from hypothesis import given

from milepost.errors import RejectedError
from milepost.links import Link, link_from
from milepost.targeting.rules import (
    RULES_MAX,
    VALUES_MAX,
    VARIANTS_MAX,
    Rule,
    Variant,
    bytes_of_rules,
    rules_in,
    text_of,
)
from tests.kernel.kernel_values import json_values
from tests.targeting.targeting_world import links_with_rules

GOOD = {"path": "/a", "destination": "https://example.org/"}
THERE = "https://there.example/"


def rules(*told: Any, **fields: Any) -> tuple[Rule, ...]:
    """Return the rules of a link made of *told*."""
    return link_from(GOOD | {"rules": list(told)} | fields, "l1").rules


def to(**when: Any) -> dict[str, Any]:
    """Return a rule that leads to one place."""
    return {"when": when, "destination": THERE}


def between(*variants: Any) -> dict[str, Any]:
    """Return a rule with variants."""
    return {"variants": list(variants)}


A = {"name": "a", "weight": 1, "destination": THERE}


def test_a_rule_is_kept_in_one_spelling() -> None:
    """Countries in capitals, languages in small letters."""
    (rule,) = rules(to(country=["de"], language=["pt-BR"], device=["ios"], region=["fra"]))

    assert rule.country == ("DE",)
    assert rule.to_json()["when"] == {
        "country": ["DE"],
        "region": ["fra"],
        "language": ["pt-br"],
        "device": ["ios"],
    }


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (None, "rules"),
        ({}, "rules"),
        ([to(country=["DE"])] * (RULES_MAX + 1), "rules"),
        ([7], r"rules\[0\]"),
        ([{}], r"rules\[0\]"),
        ([to(country=["DE"]) | {"variants": [A]}], r"rules\[0\]"),
        ([to(country=["DE"]) | {"colour": 1}], r"rules\[0\]\.colour"),
        ([{"when": None, "destination": THERE}], r"rules\[0\]\.when"),
        ([to()], r"rules\[0\]\.when"),
        ([to(city=["Bonn"])], r"rules\[0\]\.when\.city"),
        ([to(country=["DE"]), to(country=["D"])], r"rules\[1\]\.when\.country\[0\]"),
        ([to(country=[])], r"rules\[0\]\.when\.country"),
        ([to(country="DE")], r"rules\[0\]\.when\.country"),
        ([to(country=["DE", "de"])], r"rules\[0\]\.when\.country\[1\]"),
        ([to(country=["D\u00c4"])], r"rules\[0\]\.when\.country\[0\]"),
        ([to(region=["r"] * (VALUES_MAX + 1))], r"rules\[0\]\.when\.region"),
        ([to(region=["FRA"])], r"rules\[0\]\.when\.region\[0\]"),
        ([to(language=["*"])], r"rules\[0\]\.when\.language\[0\]"),
        ([to(language=["de_AT"])], r"rules\[0\]\.when\.language\[0\]"),
        ([to(device=["toaster"])], r"rules\[0\]\.when\.device\[0\]"),
        ([to(start_ms="now")], r"rules\[0\]\.when\.start_ms"),
        ([to(start_ms=True)], r"rules\[0\]\.when\.start_ms"),
        ([to(end_ms=0)], r"rules\[0\]\.when\.end_ms"),
        ([to(start_ms=5, end_ms=5)], r"rules\[0\]\.when\.end_ms"),
        ([{"destination": "javascript:a"}], r"rules\[0\]\.destination"),
        ([{"destination": None}], r"rules\[0\]\.destination"),
        ([between()], r"rules\[0\]\.variants"),
        ([between(*[A] * (VARIANTS_MAX + 1))], r"rules\[0\]\.variants"),
        ([between(A, A)], r"rules\[0\]\.variants\[1\]\.name"),
        ([between(A | {"name": ""})], r"rules\[0\]\.variants\[0\]\.name"),
        ([between(A | {"name": "a b"})], r"rules\[0\]\.variants\[0\]\.name"),
        ([between(A | {"weight": 0})], r"rules\[0\]\.variants"),
        ([between(A | {"weight": -1})], r"rules\[0\]\.variants\[0\]\.weight"),
        ([between(A | {"weight": 1.5})], r"rules\[0\]\.variants\[0\]\.weight"),
        ([between(A | {"weight": True})], r"rules\[0\]\.variants\[0\]\.weight"),
        ([between(A | {"destination": "x"})], r"rules\[0\]\.variants\[0\]\.destination"),
        ([between(A | {"more": 1})], r"rules\[0\]\.variants\[0\]\.more"),
        ([between(7)], r"rules\[0\]\.variants\[0\]"),
        ([between(*(A | {"name": str(n), "destination": THERE + "x" * 1_900} for n in range(9)))],
         "rules"),
    ],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused_by_name(told: Any, field: str) -> None:
    """The person who sent it reads which field was wrong."""
    with pytest.raises(RejectedError, match=f"^{field}: "):
        link_from(GOOD | {"rules": told}, "l1")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"destination": THERE}, to(country=["DE"])),
        ({"destination": THERE}, {"destination": THERE}),
        (to(country=["DE"]), to(country=["DE"])),
        (to(country=["DE", "FR"]), to(country=["FR"], device=["ios"])),
        (to(end_ms=9), to(start_ms=3, end_ms=9)),
        (to(start_ms=3), to(start_ms=3, end_ms=9, country=["DE"])),
    ],
)
def test_a_rule_that_never_decides_is_refused(earlier: Any, later: Any) -> None:
    """Whenever it holds, the one before it does."""
    with pytest.raises(RejectedError, match=r"^rules\[2\]: .* never does, for rules\[1\]"):
        rules(to(region=["x"]), earlier, later)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (to(country=["DE"]), {"destination": THERE}),
        (to(country=["DE"]), to(country=["DE", "FR"])),
        (to(country=["DE"], device=["ios"]), to(country=["DE"])),
        (to(start_ms=3), to(start_ms=2)),
        (to(end_ms=9), to(start_ms=3)),
        (to(start_ms=3, end_ms=9), to(country=["DE"])),
    ],
)
def test_a_rule_that_may_decide_is_kept(earlier: Any, later: Any) -> None:
    """Some visit gets past the one before it."""
    assert len(rules(earlier, later)) == 2


@pytest.mark.parametrize("end", ["rules[0].destination", "rules[0].variants[1].destination"])
def test_a_wildcard_is_no_part_of_a_host_in_any_destination(end: str) -> None:
    """Whoever clicks would choose where the pattern leads."""
    bad = "https://example.org*"
    rule = {"destination": bad} if "variants" not in end else between(
        A, A | {"name": "b", "destination": bad}
    )  # fmt: skip
    with pytest.raises(RejectedError) as refused:
        rules(rule, path="/docs/*")

    assert str(refused.value).startswith(f"{end}: want the *")


@given(json_values)
def test_any_json_is_rules_or_refused(told: Any) -> None:
    """Nothing that a body or a feed can hold is another error."""
    for value in (told, [told], [{"when": told, "destination": THERE}], [{"variants": [told]}]):
        try:
            kept = link_from(GOOD | {"rules": value}, "l1").rules
        except RejectedError:
            continue
        assert kept == ()


@given(links_with_rules())
def test_rules_come_back_from_wherever_they_are_kept(link: Link) -> None:
    """Registry, feed and replica speak of one thing."""
    assert link_from(link.to_rule(), link.id) == link
    assert rules_in(text_of(link.rules)) == link.rules


def test_no_rules_are_nothing() -> None:
    """On disk and in memory."""
    assert text_of(()) is None
    assert rules_in(None) == ()


@given(links_with_rules())
def test_no_memory_goes_uncounted(link: Link) -> None:
    """What is reckoned is at least what CPython says of each part."""
    assert bytes_of_rules(link.rules) >= sum(map(size, link.rules))


def size(rule: Rule) -> int:
    """Return what a rule takes, but for texts that stand in the program once."""
    lists = [rule.country, rule.region, rule.language, rule.device]
    total = sys.getsizeof(rule) + sys.getsizeof(rule.destination)
    total += sum(sys.getsizeof(each) + sum(map(sys.getsizeof, each)) for each in lists if each)
    if rule.variants:
        total += sys.getsizeof(rule.variants) + sum(map(size_of_variant, rule.variants))
    return total


def size_of_variant(variant: Variant) -> int:
    """Return what a variant takes."""
    return sum(map(sys.getsizeof, (variant, variant.name, variant.destination)))
