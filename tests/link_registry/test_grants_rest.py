"""The calls that make, show, extend and end grants."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from link_registry.grants.rules import METADATA_BYTES_MAX
from link_registry.slugs import ALPHABET, LENGTH_MIN
from milepost.vocabulary import Millis
from tests.link_registry.grants_world import MINUTE, advance, granted, listed, wish
from tests.link_registry.registry_world import (
    DESTINATION,
    EDITOR,
    GRANTER,
    LENDER,
    READER,
    Registry,
    running_registry,
)


async def _link(registry: Registry, link_id: str) -> dict[str, Any] | None:
    answer = await registry.call("GET", f"/v1/links/{link_id}")
    return (await answer.json())["link"] if answer.status == 200 else None


async def _do(registry: Registry, what: str, grant: dict[str, Any], body: Any = None) -> Any:
    path = f"/v1/grants/{grant['id']}/{what}"
    answer = await registry.call("POST", path, body, token=GRANTER)
    return answer.status, await answer.json()


async def test_a_grant_comes_with_a_link_that_knows_its_end(registry: Registry) -> None:
    """Both are there at once, and the link's end travels to the edges with it."""
    grant = await granted(registry, cleanup_ids=["b", "a", "b"], metadata={"lab": 7})
    link = await _link(registry, grant["link"])

    assert link is not None
    assert link["expires_ms"] == grant["ends_ms"] == 1_000 + 5 * MINUTE
    assert set(grant["path"].removeprefix("/")) <= set(ALPHABET)
    assert len(grant["path"]) == 1 + LENGTH_MIN
    assert grant == {
        "id": grant["id"],
        "owner": "ada",
        "state": "active",
        "exclusive": False,
        "link": link["id"],
        "host": "*",
        "path": link["path"],
        "destination": DESTINATION,
        "metadata": {"lab": 7},
        "cleanup_ids": ["b", "a"],
        "cleaned": [],
        "failed": [],
        "created_ms": 1_000,
        "ends_ms": 1_000 + 5 * MINUTE,
        "ended_ms": None,
        "abandoned_ms": None,
        "abandoned_by": None,
    }
    read = await registry.call("GET", f"/v1/grants/{grant['id']}", token=GRANTER)
    assert (await read.json())["grant"] == grant


async def test_a_slug_can_be_wished(registry: Registry) -> None:
    """With the host on which it is; a place that is taken is refused."""
    grant = await granted(registry, slug="lab-7", host="lab.example")
    again = await registry.call("POST", "/v1/grants", wish(slug="lab-7", host="lab.example"),
                                token=GRANTER)  # fmt: skip

    assert (grant["host"], grant["path"]) == ("lab.example", "/lab-7")
    assert again.status == 409
    assert grant["link"] in (await again.json())["detail"]


async def test_two_exclusive_grants_at_once_are_one(registry: Registry) -> None:
    """One is made and the other refused, naming the one that was made; nothing else is left."""
    answers = await asyncio.gather(
        *(
            registry.call("POST", "/v1/grants", wish(exclusive=True), token=GRANTER)
            for _ in range(2)
        )
    )
    made, refused = sorted(answers, key=lambda answer: answer.status)

    assert (made.status, refused.status) == (201, 409)
    grant = (await made.json())["grant"]
    problem = await refused.json()
    assert grant["id"] in problem["detail"]
    assert problem["detail"].startswith("owner: ")
    assert [each["id"] for each in await listed(registry)] == [grant["id"]]
    assert await registry.store.count() == 1


async def test_an_owner_may_have_others_that_are_not_exclusive(registry: Registry) -> None:
    """Exclusive counts among the exclusive ones of one owner, and among no others."""
    await granted(registry, exclusive=True)
    await granted(registry)
    await granted(registry, "grace", exclusive=True)

    assert len(await listed(registry, "?owner=ada")) == 2


async def test_a_grant_that_is_over_is_in_nobodys_way(registry: Registry) -> None:
    """Its owner, its slug and its link are free from its end on, before any schedule ran."""
    first = await granted(registry, exclusive=True, slug="lab", cleanup_ids=["vm"])
    advance(registry, 5)
    second = await granted(registry, exclusive=True, slug="lab")

    assert second["link"] != first["link"]
    assert [each["id"] for each in await listed(registry, "?state=cleaning")] == [first["id"]]
    assert [each["id"] for each in await listed(registry, "?state=active")] == [second["id"]]


async def test_extending_moves_the_links_end_too(registry: Registry) -> None:
    """From the end that there was, not from now."""
    grant = await granted(registry)
    advance(registry, 1)
    status, told = await _do(registry, "extend", grant, {"minutes": 10})
    link = await _link(registry, grant["link"])

    assert status == 200
    assert told["grant"] == grant | {"ends_ms": 1_000 + 15 * MINUTE}
    assert link is not None
    assert link["expires_ms"] == 1_000 + 15 * MINUTE


@pytest.mark.parametrize("minutes", [5, 6])
async def test_what_is_over_cannot_be_extended(registry: Registry, minutes: int) -> None:
    """At its very end it is over: edges stopped there."""
    grant = await granted(registry)
    advance(registry, minutes)

    assert (await _do(registry, "extend", grant, {"minutes": 1}))[0] == 409


async def test_an_end_lies_at_most_thirty_days_ahead(registry: Registry) -> None:
    """Also after it was put off: nobody gets a grant for ever in small steps."""
    grant = await granted(registry, minutes=43_200)
    status, problem = await _do(registry, "extend", grant, {"minutes": 1})
    advance(registry, 1)

    assert (status, problem["detail"][:8]) == (400, "minutes:")
    assert (await _do(registry, "extend", grant, {"minutes": 1}))[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_ending_by_hand_withdraws_the_link_at_once(registry: Registry, method: str) -> None:
    """It is kept until all is cleaned up, and ending it again changes nothing."""
    grant = await granted(registry, cleanup_ids=["vm"])
    path = f"/v1/grants/{grant['id']}" + ("/end" if method == "POST" else "")
    first = await registry.call(method, path, token=GRANTER)
    advance(registry, 1)
    second = await registry.call(method, path, token=GRANTER)

    ended = (await first.json())["grant"]
    assert ended == grant | {"state": "cleaning", "ended_ms": 1_000} | dict.fromkeys(
        ("host", "path", "destination")
    )
    assert (await second.json())["grant"] == ended
    assert await _link(registry, grant["link"]) is None
    assert await registry.store.position() == 2


async def test_a_grant_with_nothing_to_clean_up_goes_with_its_end(registry: Registry) -> None:
    """There is nothing left to wait for."""
    grant = await granted(registry)
    status, _ = await _do(registry, "end", grant)
    again, _ = await _do(registry, "end", grant)

    assert (status, again) == (200, 404)
    assert await listed(registry) == []


@pytest.mark.parametrize("by", ["slug", "link"])
async def test_a_link_that_is_there_is_lent(registry: Registry, by: str) -> None:
    """It leads somewhere while the grant lasts, then is off and has its own end again."""
    link = await registry.create("/lab", enabled=False, expires_ms=9_000_000)
    named = {"slug": "lab"} if by == "slug" else {"link": link["id"]}
    grant = await granted(registry, destination=None, token=LENDER, **named)
    during = await _link(registry, link["id"])
    await _do(registry, "end", grant)
    after = await _link(registry, link["id"])

    assert during == link | {"enabled": True, "expires_ms": grant["ends_ms"], "version": 2}
    assert after == link | {"version": 3}


async def test_a_lent_link_keeps_an_end_that_comes_first(registry: Registry) -> None:
    """A grant makes no link last longer than its owner wanted."""
    link = await registry.create("/lab", expires_ms=60_000)
    await granted(registry, destination=None, slug="lab", token=LENDER)
    during = await _link(registry, link["id"])

    assert during is not None
    assert during["expires_ms"] == 60_000


async def test_a_link_is_lent_once_at_a_time(registry: Registry) -> None:
    """A second grant is refused and named the first; once that is over the link is free."""
    link = await registry.create("/lab")
    body = wish(destination=None, link=link["id"])
    first = await granted(registry, destination=None, link=link["id"], token=LENDER)
    refused = await registry.call("POST", "/v1/grants", body, token=LENDER)
    advance(registry, 5)
    second = await registry.call("POST", "/v1/grants", body, token=LENDER)

    assert refused.status == 409
    assert first["id"] in (await refused.json())["detail"]
    assert second.status == 201


async def test_lending_takes_a_right_over_links(registry: Registry) -> None:
    """Who may only make grants could otherwise switch off any link."""
    link = await registry.create("/lab")
    body = wish(destination=None, link=link["id"])

    assert (await registry.call("POST", "/v1/grants", body, token=GRANTER)).status == 403


async def test_a_link_that_was_deleted_by_hand_ends_nothing(registry: Registry) -> None:
    """The grant can be extended and ended all the same, and is cleaned up after."""
    grant = await granted(registry, cleanup_ids=["vm"])
    await registry.call("DELETE", f"/v1/links/{grant['link']}")
    extended, told = await _do(registry, "extend", grant, {"minutes": 1})
    ended, _ = await _do(registry, "end", grant)

    assert (extended, ended) == (200, 200)
    assert told["grant"]["path"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "the body"),
        ("text", "the body"),
        ({"duration_minutes": 1, "destination": DESTINATION}, "owner"),
        (wish(""), "owner"),
        (wish("a" * 129), "owner"),
        (wish("a\nb"), "owner"),
        (wish() | {"owner": 7}, "owner"),
        (wish() | {"duration_minutes": 0}, "duration_minutes"),
        (wish() | {"duration_minutes": 43_201}, "duration_minutes"),
        (wish() | {"duration_minutes": 1.5}, "duration_minutes"),
        (wish() | {"duration_minutes": True}, "duration_minutes"),
        (wish() | {"duration_minutes": None}, "duration_minutes"),
        (wish(destination=None), "destination"),
        (wish(destination="ftp://x.example/"), "destination"),
        (wish(destination=["https://x.example/"]), "destination"),
        (wish(slug=7), "slug"),
        (wish(slug="//"), "slug"),
        (wish(slug="a b"), "path"),
        (wish(slug="e/x"), "path"),
        (wish(link="abc"), "link"),
        (wish(link=["abc"]), "link"),
        (wish(host=7), "host"),
        (wish(host=7, slug="a", destination=None), "host"),
        (wish(exclusive="yes"), "exclusive"),
        (wish(metadata=[]), "metadata"),
        (wish(metadata={"a": "x" * METADATA_BYTES_MAX}), "metadata"),
        (wish(cleanup_ids="vm"), "cleanup_ids"),
        (wish(cleanup_ids=[7]), "cleanup_ids[0]"),
        (wish(cleanup_ids=[""]), "cleanup_ids[0]"),
        (wish(cleanup_ids=[".."]), "cleanup_ids[0]"),
        (wish(cleanup_ids=["a/../b"]), "cleanup_ids[0]"),
        (wish(cleanup_ids=["a\\..\\b"]), "cleanup_ids[0]"),
        (wish(cleanup_ids=["a\r\nb"]), "cleanup_ids[0]"),
        (wish(cleanup_ids=["a" * 201]), "cleanup_ids[0]"),
        (wish(cleanup_ids=[str(n) for n in range(257)]), "cleanup_ids"),
        (wish(colour="red"), "colour"),
    ],
)
async def test_what_is_wrong_is_named(registry: Registry, body: Any, field: str) -> None:
    """One bad field refuses the whole, and leaves nothing behind."""
    answer = await registry.call("POST", "/v1/grants", body, token=LENDER)
    problem = await answer.json()

    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert problem["field"] == field
    assert await registry.store.position() == 0


@pytest.mark.parametrize("levels", [17, 900])
async def test_metadata_is_not_deep(registry: Registry, levels: int) -> None:
    """Whoever reads it need not fear for their stack."""
    deep = b'{"owner":"a","duration_minutes":1,"destination":"https://x.example/","metadata":'
    deep += b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    answer = await registry.client.post(
        "/v1/grants", data=deep, headers={"Authorization": f"Bearer {GRANTER}"}
    )

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith("metadata:")


@pytest.mark.parametrize("body", [[], {}, {"minutes": 0}, {"minutes": "5"}, {"hours": 1}])
async def test_a_bad_extension_is_refused(registry: Registry, body: Any) -> None:
    """And the grant stays as it is."""
    grant = await granted(registry)

    assert (await _do(registry, "extend", grant, body))[0] == 400
    assert await listed(registry) == [grant]


async def test_a_link_that_is_not_there_cannot_be_lent(registry: Registry) -> None:
    """By its id or by its slug; one that has expired leads nowhere."""
    await registry.create("/old", expires_ms=999)
    asked: list[dict[str, Any]] = [{"link": "nobody"}, {"slug": "nothing"}, {"slug": "old"}]
    answers = [
        await registry.call("POST", "/v1/grants", wish(destination=None, **each), token=LENDER)
        for each in asked
    ]

    assert [answer.status for answer in answers] == [404, 404, 409]


async def test_pages_hold_every_grant_once(registry: Registry) -> None:
    """Whatever the filter; a cursor goes on where the page before ended."""
    made = {(await granted(registry, owner))["id"] for owner in ("ada", "bob") * 3}
    found: list[str] = []
    cursor = ""
    while True:
        query = f"?limit=2&cursor={cursor}"
        answer = await (await registry.call("GET", f"/v1/grants{query}", token=GRANTER)).json()
        found += [each["id"] for each in answer["grants"]]
        if not answer["next"]:
            break
        cursor = answer["next"]

    assert sorted(found) == sorted(made)
    assert len(await listed(registry, "?owner=bob&state=active")) == 3
    assert await listed(registry, "?owner=eve") == []


@pytest.mark.parametrize(
    "query", ["state=over", "limit=0", "cursor=!", "owner=", "colour=red", "state="]
)
async def test_a_bad_question_is_refused(registry: Registry, query: str) -> None:
    """Ignoring it would answer another one."""
    answer = await registry.call("GET", f"/v1/grants?{query}", token=GRANTER)

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("token", [READER, EDITOR])
async def test_grants_have_scopes_of_their_own(registry: Registry, token: str) -> None:
    """Who may change links may not yet see who owns what."""
    asked = [("POST", ""), ("GET", ""), ("GET", "/a"), ("DELETE", "/a"), ("POST", "/a/end")]
    answers = [await registry.call(method, f"/v1/grants{path}", {}, token=token)
               for method, path in asked]  # fmt: skip

    assert {answer.status for answer in answers} == {403}


async def test_nothing_is_promised_that_nobody_can_keep(tmp_path: Path) -> None:
    """Without a backend cleanup ids are refused; a grant without any is made."""
    async with running_registry(tmp_path, cleans=False) as registry:
        body = wish(cleanup_ids=["vm"])
        refused = await registry.call("POST", "/v1/grants", body, token=GRANTER)
        problem = await refused.json()
        await granted(registry)

    assert refused.status == 400
    assert "MILEPOST_CLEANUP_URL" in problem["detail"]


async def test_time_set_back_brings_no_grant_back(registry: Registry) -> None:
    """Once ended it stays so, whatever the clock says afterwards."""
    grant = await granted(registry, cleanup_ids=["vm"])
    await _do(registry, "end", grant)
    registry.clock.at = Millis(1)

    assert (await _do(registry, "extend", grant, {"minutes": 1}))[0] == 409
    assert [each["state"] for each in await listed(registry)] == ["cleaning"]
