"""Asking the registry what becomes of a visit."""

from typing import Any

import pytest
from yarl import URL

from milepost.vocabulary import Millis
from tests.link_registry.registry_world import DESTINATION, EDGE, READER, Registry

RULES = [
    {"when": {"country": ["de"], "end_ms": 2_000}, "destination": "https://de.example/*"},
    {"when": {"language": ["fr"]}, "variants": [
        {"name": "a", "weight": 1, "destination": "https://a.example/"},
        {"name": "b", "weight": 1, "destination": "https://b.example/"},
    ]},
]  # fmt: skip


async def asked(registry: Registry, link: dict[str, Any], **params: str) -> dict[str, Any]:
    """Return the explanation."""
    url = URL(f"/v1/links/{link['id']}/explain").with_query(params)
    answer = await registry.call("GET", str(url), token=READER)
    told = await answer.json()
    assert answer.status == 200, told
    explanation: dict[str, Any] = told["explanation"]
    return explanation


async def test_rules_are_kept_and_explained(registry: Registry) -> None:
    """What was made can be read, and asked."""
    made = await registry.create("/d/*", rules=RULES)
    registry.clock.at = Millis(1_500)
    told = await asked(registry, made, country="de", path="/d/x", query="a=b")
    later = await asked(registry, made, country="de", time="1970-01-01T00:00:02Z")
    french = await asked(registry, made, language="fr-CA", visitor="ab" * 16)

    assert made["rules"][0]["when"] == {"country": ["DE"], "end_ms": 2_000}
    assert (told["rule"], told["destination"]) == (0, "https://de.example/x")
    assert (later["rule"], later["destination"]) == (None, DESTINATION)
    assert french["destination"] == f"https://{french['variant']}.example/"
    assert french["rules"][0]["why"] == "country: want DE, the visit's is not known"


async def test_rules_can_be_changed_and_taken_away(registry: Registry) -> None:
    """As any other field; what stays as it is makes no version."""
    made = await registry.create("/a", rules=RULES[1:])
    path = f"/v1/links/{made['id']}"
    same = await (await registry.call("PATCH", path, {"rules": made["rules"]})).json()
    none = await (await registry.call("PATCH", path, {"rules": []})).json()

    assert same["link"]["version"] == 1
    assert (none["link"]["version"], none["link"]["rules"]) == (2, [])
    assert (await asked(registry, made))["rules"] == []
    history = await (await registry.call("GET", f"{path}/changes")).json()
    assert history["changes"][-1]["fields"] == [
        {"field": "rules", "before": made["rules"], "after": []}
    ]


async def test_a_rule_does_not_begin_when_its_link_has_ended(registry: Registry) -> None:
    """It would never hold; moving the end to before it is refused as well."""
    rules = [{"when": {"start_ms": 5_000}, "destination": DESTINATION}]
    body = {"path": "/a", "destination": DESTINATION, "rules": rules, "expires_ms": 5_000}
    refused = await registry.call("POST", "/v1/links", body)
    made = await registry.create("/a", rules=rules, expires_ms=5_001)
    moved = await registry.call("PATCH", f"/v1/links/{made['id']}", {"expires_ms": 5_000})

    assert (refused.status, moved.status) == (400, 400)
    assert (await moved.json())["field"] == "rules[0].when.start_ms"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "/b"),
        ("path", "/d"),
        ("path", "d/"),
        ("path", "/d/ "),
        ("path", "/d/?a"),
        ("path", "/d/" + "a" * 4_096),
        ("query", "a b"),
        ("country", "DEU"),
        ("country", ""),
        ("region", "F R A"),
        ("language", "a" * 1_025),
        ("user_agent", "a" * 1_025),
        ("time", "soon"),
        ("time", "-1"),
        ("time", "9" * 15),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("visitor", "ab"),
        ("visitor", "AB" * 16),
        ("colour", "red"),
    ],
)
async def test_a_parameter_that_is_none_is_refused_by_name(
    registry: Registry, name: str, value: str
) -> None:
    """Ignoring it would explain another visit."""
    made = await registry.create("/d/*", rules=RULES)
    url = URL(f"/v1/links/{made['id']}/explain").with_query({name: value})
    answer = await registry.call("GET", str(url))

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith(f"{name}: ")


async def test_who_may_ask(registry: Registry) -> None:
    """Whoever may read links, and about one that there is."""
    made = await registry.create("/a")

    assert (await registry.call("GET", f"/v1/links/{made['id']}/explain", token=EDGE)).status == 403
    assert (await registry.call("GET", "/v1/links/none/explain")).status == 404


async def test_a_rule_that_is_wrong_is_refused_by_name(registry: Registry) -> None:
    """In the words that the person sent."""
    rules = [*RULES, {"when": {"country": ["D"]}, "destination": DESTINATION}]
    body = {"path": "/d/*", "destination": DESTINATION, "rules": rules}
    answer = await registry.call("POST", "/v1/links", body)

    assert answer.status == 400
    assert (await answer.json())["field"] == "rules[2].when.country[0]"
