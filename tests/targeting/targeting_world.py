"""Links with random rules, and random visits to them, drawn so that rules often hold."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from milepost.errors import RejectedError
from milepost.links import Link, link_from
from milepost.targeting.choosing import Facts
from milepost.vocabulary import Millis

COUNTRIES, REGIONS = ["DE", "FR", "US"], ["dfw", "fra"]
LANGUAGES = ["de", "de-at", "en", "pt-br", "zh-hant"]
HEADERS = [
    *("", "de", "de-AT, en;q=0.5", "en, de;q=0", "pt-BR;q=0.2, de-CH;q=0.3", "zh-Hant-TW", "*"),
    *("fr, *;q=0.1", "en;q=0.9,de;q=0.9", "pt", "nonsense;;q"),
]
AGENTS = [
    *("", "curl/8", "Mozilla/5.0 (iPhone; CPU like Mac OS X)", "Mozilla/5.0 (Linux; Android 14)"),
    *("Mozilla/5.0 (Windows NT 10.0)", "Windows Phone; Android; iPhone"),
]
MOMENTS = range(1, 9)


def _some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def destinations(*, pattern: bool) -> st.SearchStrategy[str]:
    """Give places to lead to."""
    ends = ["a", "b?c=d", "e#f", "g/*"] if pattern else ["a", "b?c=d", "e#f", "h?"]
    return st.sampled_from(ends).map("https://x.example/".__add__)


@st.composite
def rules(draw: st.DrawFn, *, pattern: bool, moments: range) -> list[dict[str, Any]]:
    """Give a list of rules as people send it; some would be refused together."""
    places = destinations(pattern=pattern)
    conditions = st.fixed_dictionaries(
        {},
        optional={
            "country": _some(COUNTRIES),
            "region": _some(REGIONS),
            "language": _some(LANGUAGES),
            "device": _some(["ios", "android", "desktop"]),
            "start_ms": st.sampled_from(moments[:4]),
            "end_ms": st.sampled_from(moments[4:]),
        },
    )
    variants = st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from("abcd"),
                "weight": st.integers(0, 5),
                "destination": places,
            }
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda each: each["name"],
    ).filter(lambda told: any(each["weight"] for each in told))
    found = []
    for when in draw(st.lists(conditions, min_size=1, max_size=5)):
        end = {"variants": draw(variants)} if draw(st.booleans()) else {"destination": draw(places)}
        found.append(end | ({"when": when} if when else {}))
    return found


@st.composite
def links_with_rules(draw: st.DrawFn, moments: range = MOMENTS) -> Link:
    """Give a link with rules that are accepted, dropping from its rules what is not."""
    pattern = draw(st.booleans())
    fields = {
        "path": "/p/*" if pattern else "/p",
        "destination": draw(destinations(pattern=pattern)),
        "pass_query": draw(st.booleans()),
        "status": draw(st.sampled_from([301, 302, 307, 308])),
        "expires_ms": draw(st.none() | st.just(moments[-1] + 1)),
    }
    kept: list[dict[str, Any]] = []
    for rule in draw(rules(pattern=pattern, moments=moments)):
        try:
            link_from(fields | {"rules": [*kept, rule]}, "l1")
        except RejectedError:
            continue
        kept.append(rule)
    assume(kept)
    return link_from(fields | {"rules": kept}, draw(st.sampled_from(["l1", "l2", "q0v"])))


facts = st.builds(
    Facts,
    time=st.sampled_from(MOMENTS).map(Millis),
    region=st.sampled_from(REGIONS),
    country=st.none() | st.sampled_from(COUNTRIES),
    language=st.sampled_from(HEADERS),
    agent=st.sampled_from(AGENTS),
    visitor=st.binary(min_size=16, max_size=16),
)
