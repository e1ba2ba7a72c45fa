"""Where links may lead: schemes, and no way back to this service."""

from pathlib import Path
from typing import Any

import pytest

from link_registry.config import Config
from link_registry.own_hosts import OwnHosts, canonical, leads_to
from link_registry.policy import Policy
from milepost.errors import ConfigError
from milepost.links import WEB_SCHEMES
from tests.link_registry.registry_world import DESTINATION, Registry, running_registry

APPS = Policy(
    schemes=WEB_SCHEMES | {"myapp", "tel"},
    own=OwnHosts(frozenset({"go.test", "port.test:8443"}), frozenset({".sub.test"})),
)


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("myapp://open/x", 201),
        ("tel:+491234", 201),
        ("MyApp:x", 201),
        ("other:x", 400),
        ("mailto:a@b.c", 400),
        ("javascript:alert(1)", 400),
        ("tel:", 400),
        ("https://elsewhere.test/", 201),
        ("https://go.test/", 400),
        ("http://GO.test.:9999/x", 400),
        ("https://user@go.test/", 400),
        ("https://%67o.test/", 400),
        ("https://go.test\\@elsewhere.test/", 400),
        ("https://elsewhere.test\\.go.test/", 400),
        ("https://port.test:8443/", 400),
        ("https://port.test/", 201),
        ("https://a.b.sub.test/", 400),
        ("https://sub.test/", 201),
        ("https://notgo.test/", 201),
    ],
)
async def test_where_a_link_may_lead(tmp_path: Path, destination: str, status: int) -> None:
    """Only by the schemes that are allowed, and to no host that is named as our own."""
    async with running_registry(tmp_path, policy=APPS) as registry:
        body = {"path": "/a", "destination": destination}
        answer = await registry.call("POST", "/v1/links", body)

        assert answer.status == status, await answer.text()
        assert status == 201 or (await answer.json())["field"] == "destination"


@pytest.mark.parametrize(
    ("host", "destination", "status"),
    [
        ("go.test", "https://go.test/x", 400),
        ("go.test", "https://go.test:8443/x", 400),
        ("go.test:8443", "https://go.test:8443/x", 400),
        ("go.test:8443", "https://go.test/x", 201),
        ("go.test:443", "https://go.test/x", 400),
        ("go.test", "https://elsewhere.test/", 201),
        ("*", "https://go.test/x", 201),
    ],
)
async def test_a_link_never_leads_to_its_own_host(
    registry: Registry, host: str, destination: str, status: int
) -> None:
    """A host without a port is one on every port."""
    body = {"path": "/a", "host": host, "destination": destination}

    assert (await registry.call("POST", "/v1/links", body)).status == status


async def test_no_link_leads_to_the_host_of_another(registry: Registry) -> None:
    """In whichever order the two are made, and however they are changed later."""
    await registry.create("/a", host="go.test")
    leads = {"path": "/b", "destination": "https://go.test/a"}
    refused = await registry.call("POST", "/v1/links", leads)
    there = await registry.create("/c", destination="https://later.test:8443/")
    late = {"path": "/d", "destination": DESTINATION, "host": "later.test"}
    conflict = await registry.call("POST", "/v1/links", late)
    free = await registry.call("POST", "/v1/links", late | {"host": "later.test:8444"})
    moved = await registry.call("PATCH", f"/v1/links/{there['id']}", {"host": "later.test"})
    swapped = {"host": "later.test", "destination": DESTINATION}
    fine = await registry.call("PATCH", f"/v1/links/{there['id']}", swapped)

    statuses = [each.status for each in (refused, conflict, free, moved, fine)]
    assert statuses == [400, 409, 201, 400, 200]
    assert there["id"] in (await conflict.json())["detail"]


async def test_a_link_that_was_allowed_once_can_be_switched_off(tmp_path: Path) -> None:
    """A setting that came later does not hold it fast; it is asked when it would lead elsewhere."""
    async with running_registry(tmp_path) as before:
        made = await before.create("/a", destination="https://go.test/")
    async with running_registry(tmp_path, policy=APPS) as registry:
        where = f"/v1/links/{made['id']}"
        noted = await registry.call("PATCH", where, {"note": "old"})
        off = await registry.call("PATCH", where, {"enabled": False})
        moved = await registry.call("PATCH", where, {"destination": "https://go.test/x"})

    assert (noted.status, off.status, moved.status) == (200, 200, 400)


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Example.COM.", "example.com"),
        ("example.com:443", "example.com"),
        ("example.com.:80", "example.com"),
        ("example.com:", "example.com"),
        ("example.com:81", "example.com:81"),
        ("[::1]", "[::1]"),
        ("[::1]:81", "[::1]:81"),
    ],
)
def test_a_host_has_one_form_in_which_it_is_compared(written: str, compared: str) -> None:
    """However it was written."""
    assert canonical(written) == compared
    assert leads_to(f"https://{written}/x") == compared


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINK_SCHEMES", "javascript"),
        ("LINK_SCHEMES", "my app"),
        ("OWN_HOSTS", "*"),
        ("OWN_HOSTS", "https://go.test"),
        ("OWN_HOSTS", "*.go.test:80,a b"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://app.test/"),
        ("CORS_ORIGINS", "https://App.test"),
    ],
)
def test_a_setting_that_says_nothing_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """At the start, by its name."""
    env = {"MILEPOST_TOKENS_FILE": str(tmp_path / "t"), f"MILEPOST_{name}": value}
    with pytest.raises(ConfigError, match=f"MILEPOST_{name}"):
        Config.from_env(env)


def test_settings_are_read(tmp_path: Path) -> None:
    """Each in its list."""
    config = Config.from_env(
        {
            "MILEPOST_TOKENS_FILE": str(tmp_path / "t"),
            "MILEPOST_LINK_SCHEMES": "myapp, TEL",
            "MILEPOST_OWN_HOSTS": "go.test, port.test:8443, *.sub.test",
            "MILEPOST_CORS_ORIGINS": "https://app.test, http://localhost:3000",
        }
    )

    assert config.policy == APPS
    assert config.origins == {"https://app.test", "http://localhost:3000"}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"destination": "https://go.test/x"}, "rules[1].destination"),
        ({"destination": "other:x"}, "rules[1].destination"),
        (
            {
                "variants": [
                    {"name": "a", "weight": 1, "destination": DESTINATION},
                    {"name": "b", "weight": 0, "destination": "https://a.sub.test/"},
                ]
            },
            "rules[1].variants[1].destination",
        ),
        ({"destination": "https://there.test/x"}, "rules[1].destination"),
    ],
)
async def test_rules_lead_only_where_a_link_may(
    tmp_path: Path, rule: dict[str, Any], field: str
) -> None:
    """Made or changed: neither to a scheme that nobody allowed, nor back to this service."""
    rules = [{"when": {"country": ["DE"]}, "destination": "tel:+491234"}, rule]
    async with running_registry(tmp_path, policy=APPS) as registry:
        await registry.create("/there", host="there.test")
        made = await registry.create("/a", rules=rules[:1])
        body = {"path": "/b", "destination": DESTINATION, "rules": rules}
        refused = await registry.call("POST", "/v1/links", body)
        changed = await registry.call("PATCH", f"/v1/links/{made['id']}", {"rules": rules})

        assert (refused.status, changed.status) == (400, 400)
        assert (await refused.json())["field"] == (await changed.json())["field"] == field


def _leading(*hosts: str) -> list[dict[str, Any]]:
    """Return rules that lead to *hosts*, the last of them as variants."""
    *first, last, other = [f"https://{host}/" for host in hosts]
    named = [{"name": str(n), "weight": 1, "destination": to} for n, to in enumerate((last, other))]
    plain = [
        {"when": {"country": [f"A{chr(65 + n)}"]}, "destination": to} for n, to in enumerate(first)
    ]
    return [*plain, {"variants": named}]


async def test_no_link_is_made_on_a_host_that_rules_lead_to(registry: Registry) -> None:
    """However it is made, and only for as long as they lead there."""
    rules = _leading("rule.test", "x.test", "variant.test:8443")
    made = await registry.create("/a", rules=rules)
    where = f"/v1/links/{made['id']}"

    async def status(host: str) -> int:
        body = {"path": "/b", "destination": DESTINATION, "host": host}
        items = {"items": [{"action": "create", "link": body}], "dry_run": True}
        told = await (await registry.call("POST", "/v1/links/bulk", items)).json()
        return int(told["results"][0].get("problem", 201))

    hosts = ("rule.test", "x.test", "variant.test", "variant.test:8443", "variant.test:1")
    refused = [await status(host) for host in hosts]
    single = await registry.call(
        "POST", "/v1/links", {"path": "/b", "destination": DESTINATION, "host": "x.test"}
    )
    await registry.call("PATCH", where, {"note": "the rules stay"})
    kept = await status("rule.test")
    await registry.call("PATCH", where, {"rules": _leading("y.test", "x.test", "y.test")})
    changed = [await status(host) for host in ("rule.test", "x.test", "y.test")]
    await registry.call("PATCH", where, {"rules": []})
    none = await status("x.test")
    await registry.call("PATCH", where, {"rules": rules})
    again = await status("x.test")
    await registry.call("DELETE", where)
    gone = await status("x.test")
    left = await registry.store.readers.rows("SELECT * FROM rule_leads_to")

    assert refused == [409, 409, 409, 409, 201]
    assert made["id"] in (await single.json())["detail"]
    assert (kept, changed) == (409, [201, 409, 409])
    assert (none, again, gone) == (201, 409, 201)
    assert left == []


async def test_a_destination_leads_there_only_while_it_is_one(registry: Registry) -> None:
    """Where a link with rules led before, somebody may make a link now."""
    rules = _leading("rule.test", "x.test", "y.test")
    made = await registry.create("/a", destination="https://old.test/", rules=rules)
    there = {"path": "/b", "destination": DESTINATION, "host": "old.test"}
    before = await registry.call("POST", "/v1/links", there)
    where = f"/v1/links/{made['id']}"
    moved = await registry.call("PATCH", where, {"destination": "https://rule.test/"})
    back = await registry.call("PATCH", where, {"destination": DESTINATION})
    after = await registry.call("POST", "/v1/links", there)
    rule = await registry.call("POST", "/v1/links", there | {"host": "rule.test"})

    assert [each.status for each in (before, moved, back, after, rule)] == [409, 200, 200, 201, 409]


async def test_rules_of_a_link_of_its_own_are_in_nobodys_way(registry: Registry) -> None:
    """A link that moves to a host is refused by the rules of others, and not by its own."""
    made = await registry.create("/a", rules=_leading("later.test", "x.test", "y.test"))
    moved = await registry.call("PATCH", f"/v1/links/{made['id']}", {"host": "later.test"})
    swapped = {"host": "later.test", "rules": []}
    fine = await registry.call("PATCH", f"/v1/links/{made['id']}", swapped)

    assert (moved.status, fine.status) == (400, 200)
