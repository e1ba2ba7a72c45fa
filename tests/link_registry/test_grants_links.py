"""What grants do to links is held to the same rules, and seen in the same places, as all else."""

from pathlib import Path
from typing import Any

from link_registry.own_hosts import OwnHosts
from link_registry.policy import Policy
from milepost.links import FIELDS, WEB_SCHEMES, link_from
from tests.link_registry.grants_world import granted, wish
from tests.link_registry.registry_world import (
    DESTINATION,
    GRANTER,
    LENDER,
    Registry,
    running_registry,
)


async def link_of(registry: Registry, link_id: str) -> dict[str, Any]:
    """Return the link as it is now."""
    answer = await registry.call("GET", f"/v1/links/{link_id}")
    link: dict[str, Any] = (await answer.json())["link"]
    return link


async def ended(registry: Registry, grant: dict[str, Any]) -> None:
    """End the grant by hand."""
    answer = await registry.call("POST", f"/v1/grants/{grant['id']}/end", token=GRANTER)
    assert answer.status == 200


async def test_a_link_of_a_grant_is_held_to_the_policy_of_all(tmp_path: Path) -> None:
    """A grant is no way past the schemes, this service's own hosts, or the hosts of links."""
    policy = Policy(schemes=WEB_SCHEMES | {"tel"}, own=OwnHosts(frozenset({"go.test"})))
    async with running_registry(tmp_path, policy=policy) as registry:
        await registry.create("/there", host="there.test")
        refused = [
            await registry.call("POST", "/v1/grants", wish(destination=to), token=GRANTER)
            for to in ("other:x", "https://go.test/a", "https://there.test/a")
        ]
        await granted(registry, destination="tel:+491234")

        assert [each.status for each in refused] == [400, 400, 400]
        assert [(await each.json())["field"] for each in refused] == ["destination"] * 3


async def test_what_a_grant_does_to_a_link_is_in_its_history(registry: Registry) -> None:
    """Like any other change, with who made it; what people wrote on the link stays."""
    link = await registry.create("/lab", tags=["lab"], note="of the lab")
    grant = await granted(registry, destination=None, slug="lab", token=LENDER)
    await ended(registry, grant)
    after = await link_of(registry, link["id"])
    told = await (await registry.call("GET", f"/v1/links/{link['id']}/changes")).json()

    assert after == link | {"enabled": False, "version": 3}
    assert [
        (each["who"], [f["field"] for f in each["fields"]]) for each in told["changes"][1:]
    ] == [
        ("lender", ["expires_ms"]),
        ("granter", ["enabled", "expires_ms"]),
    ]


async def test_a_link_whose_rules_begin_later_can_be_lent(registry: Registry) -> None:
    """They never decide while it is lent; it is given back with them, and edges read it."""
    later = {"when": {"start_ms": 9_000_000}, "destination": DESTINATION}
    link = await registry.create("/lab", rules=[later])
    grant = await granted(registry, destination=None, slug="lab", token=LENDER)
    lent = await link_of(registry, link["id"])
    noted = await registry.call("PATCH", f"/v1/links/{link['id']}", {"note": "lent"})
    await ended(registry, grant)
    after = await link_of(registry, link["id"])

    assert noted.status == 200
    assert link_from({name: lent[name] for name in FIELDS if name != "id"}, link["id"]).rules
    assert after == link | {"enabled": False, "note": "lent", "version": 4}
