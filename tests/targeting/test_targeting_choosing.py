"""Which rule decides, which variant it is, and what an explanation says."""

from collections import Counter
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given

from milepost.links import Link, link_from
from milepost.targeting.choosing import (
    Choice,
    Facts,
    choose,
    destinations_at,
    draw,
    explain,
    target_of,
)
from milepost.targeting.rules import Variant
from milepost.vocabulary import LinkId, Millis
from tests.targeting.targeting_world import facts, links_with_rules

OWN, THERE = "https://own.example/", "https://there.example/"
NOWHERE = Facts(Millis(5), None, None, "", "", b"")
IPHONE = "Mozilla/5.0 (iPhone; CPU like Mac OS X)"


def a_link(*rules: Any, **fields: Any) -> Link:
    """Return a link with *rules*."""
    body = {"path": "/a", "destination": OWN, "rules": list(rules)}
    return link_from(body | fields, "l1")


def when(**conditions: Any) -> Link:
    """Return a link with one rule."""
    return a_link({"when": conditions, "destination": THERE})


@pytest.mark.parametrize(
    ("conditions", "seen", "holds"),
    [
        ({"country": ["DE", "AT"]}, {"country": "AT"}, True),
        ({"country": ["DE"]}, {"country": "US"}, False),
        ({"country": ["DE"]}, {}, False),
        ({"region": ["fra"]}, {"region": "fra"}, True),
        ({"region": ["fra"]}, {"region": "dfw"}, False),
        ({"language": ["de"]}, {"language": "de-AT, en;q=0.5"}, True),
        ({"language": ["de"]}, {"language": "en"}, False),
        ({"language": ["DE-at"]}, {"language": "de-AT"}, True),
        ({"language": ["de"]}, {}, False),
        ({"device": ["ios"]}, {"agent": IPHONE}, True),
        ({"device": ["android", "desktop"]}, {"agent": IPHONE}, False),
        ({"device": ["ios", "android", "desktop"]}, {"agent": "curl"}, False),
        ({"start_ms": 5}, {}, True),
        ({"start_ms": 6}, {}, False),
        ({"end_ms": 5}, {}, False),
        ({"end_ms": 6}, {}, True),
        ({"start_ms": 4, "end_ms": 6}, {}, True),
        ({"country": ["DE"], "device": ["ios"]}, {"country": "DE", "agent": IPHONE}, True),
        ({"country": ["DE"], "device": ["ios"]}, {"country": "DE"}, False),
        ({"country": ["DE"], "end_ms": 5}, {"country": "DE"}, False),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(
    conditions: dict[str, Any],
    seen: dict[str, Any],
    holds: bool,  # noqa: FBT001
) -> None:
    """One value of each list is enough; what is not known is none of them."""
    choice = choose(when(**conditions), NOWHERE._replace(**seen))

    assert choice == (Choice(THERE, 0) if holds else Choice(OWN))


def test_the_first_rule_that_holds_decides() -> None:
    """In the order of the list, whichever asks for more."""
    link = a_link(
        {"when": {"country": ["FR"]}, "destination": "https://one.example/"},
        {"when": {"device": ["ios"]}, "destination": "https://two.example/"},
        {"when": {"country": ["DE"], "device": ["ios"]}, "destination": "https://x.example/"}
        | {"when": {"country": ["DE"]}},
        {"destination": "https://four.example/"},
    )

    def rule(**seen: Any) -> int | None:
        return choose(link, NOWHERE._replace(**seen)).rule

    assert rule(country="DE", agent=IPHONE) == 1
    assert rule(country="DE") == 2
    assert rule(country="FR", agent=IPHONE) == 0
    assert rule() == 3


def test_the_best_language_is_the_best_of_all_rules() -> None:
    """A rule for a language that the visitor would accept gives way to the one they want."""
    link = a_link(
        {"when": {"language": ["en"]}, "destination": "https://en.example/"},
        {"when": {"language": ["de"]}, "destination": "https://de.example/"},
    )

    def led(header: str) -> str:
        return choose(link, NOWHERE._replace(language=header)).destination

    assert led("de-CH, en;q=0.9") == "https://de.example/"
    assert led("de;q=0.8, en;q=0.9") == "https://en.example/"
    assert led("fr, en;q=0.1") == "https://en.example/"
    assert led("fr") == OWN


VARIANTS = (Variant("a", 50, "https://a/"), Variant("off", 0, ""), Variant("b", 30, "https://b/"),
            Variant("c", 20, "https://c/"))  # fmt: skip


def visitor(number: int) -> bytes:
    """Return somebody's hash."""
    return blake2b(str(number).encode(), digest_size=16).digest()


def test_weights_are_honoured() -> None:
    """Over many visitors; a weight of 0 is nobody's."""
    drawn = Counter(draw(LinkId("l1"), VARIANTS, visitor(n)).name for n in range(10_000))

    assert drawn["off"] == 0
    for name, share in (("a", 0.5), ("b", 0.3), ("c", 0.2)):
        assert abs(drawn[name] - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5


def test_links_draw_apart() -> None:
    """Who is first in one test is not therefore first in the next."""
    both = Counter(
        tuple(draw(LinkId(name), VARIANTS, visitor(n)).name for name in ("l1", "l2"))
        for n in range(4_000)
    )

    assert abs(both["a", "a"] - 1_000) < 4 * (4_000 * 0.25 * 0.75) ** 0.5


def test_a_draw_is_what_the_documents_say() -> None:
    """Other programs can do the same with a hit's hash."""
    number = int.from_bytes(blake2b(b"l1" + visitor(7), digest_size=8).digest(), "big") % 100

    expected = "a" if number < 50 else "b" if number < 80 else "c"
    assert draw(LinkId("l1"), VARIANTS, visitor(7)).name == expected


def test_wildcard_and_query_go_on_to_every_destination() -> None:
    """As they do to the link's own."""
    link = a_link(
        {"when": {"country": ["DE"]}, "destination": "https://de.example/*"},
        {"destination": "https://home.example/#top"},
        path="/d/*", pass_query=True,
    )  # fmt: skip

    def led(**seen: Any) -> str:
        choice = choose(link, NOWHERE._replace(**seen))
        return target_of(link, "/d/a/b", "c=d", choice.destination)

    assert led(country="DE") == "https://de.example/a/b?c=d"
    assert led() == "https://home.example/?c=d#top"


def test_an_explanation_names_what_does_not_hold() -> None:
    """The first condition of each rule, with what was wanted and what the visit has."""
    link = a_link(
        {"when": {"country": ["DE", "AT"]}, "destination": THERE},
        {"when": {"region": ["fra"]}, "destination": THERE},
        {"when": {"language": ["de"]}, "destination": THERE},
        {"when": {"device": ["ios"], "start_ms": 1}, "destination": THERE},
        {"when": {"start_ms": 7}, "destination": THERE},
        {"when": {"end_ms": 3}, "destination": THERE},
    )
    told = explain(link, NOWHERE._replace(country="US", language="fr", agent="X11"), "/a", "")

    assert [each["why"] for each in told.pop("rules")] == [
        "country: want DE or AT, the visit's is US",
        "region: want fra, the visit's is not known",
        "language: want de, the visit's is not known",
        "device: want ios, the visit's is desktop",
        "start_ms: want 7 or later, the visit is at 5",
        "end_ms: want a moment before 3, the visit is at 5",
    ]
    assert told == {
        "link": "l1",
        "rule": None,
        "variant": None,
        "destination": OWN,
        "device": "desktop",
        "language": None,
        "status": 302,
        "why": "no rule holds, so it is the link's own destination",
    }


def test_an_explanation_without_a_visitor_leaves_the_variant_open() -> None:
    """It tells the shares instead; with one it tells which."""
    variants = [{"name": name, "weight": weight, "destination": THERE + name}
                for name, weight in (("a", 3), ("b", 1))]  # fmt: skip
    link = a_link({"when": {"start_ms": 1}, "destination": THERE}
                  | {"when": {"country": ["FR"]}}, {"variants": variants})  # fmt: skip
    open_one = explain(link, NOWHERE, "/a", "")
    told = explain(link, NOWHERE._replace(visitor=visitor(1)), "/a", "")

    assert (open_one["rule"], open_one["variant"], open_one["destination"]) == (1, None, None)
    assert [each["share"] for each in open_one["variants"]] == [0.75, 0.25]
    assert told["destination"] == THERE + told["variant"]
    assert told["rules"][1] == {
        "rule": 1,
        "matched": True,
        "why": "it has no conditions, so it always holds",
    }


@pytest.mark.parametrize(
    ("fields", "status"), [({"enabled": False}, 404), ({"expires_ms": 5}, 410)]
)
def test_an_explanation_of_a_link_that_leads_nowhere(fields: dict[str, Any], status: int) -> None:
    """Whatever its rules say."""
    told = explain(a_link({"destination": THERE}, **fields), NOWHERE, "/a", "")

    assert (told["status"], told["destination"], told["rule"]) == (status, None, None)


@given(links_with_rules(), facts)
def test_an_explanation_agrees_with_the_choice(link: Link, seen: Facts) -> None:
    """The rule that decides is the first that is said to hold."""
    choice, told = choose(link, seen), explain(link, seen, "/p", "")

    held = [each["rule"] for each in told["rules"] if each["matched"]]
    if told["status"] < 400:
        assert (told["rule"], told["variant"]) == (choice.rule, choice.variant)
        assert choice.rule == (held[0] if held else None)
    assert choice.destination in destinations_at(link, seen.time)
