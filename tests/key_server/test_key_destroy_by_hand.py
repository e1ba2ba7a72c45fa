"""Destroying by hand: what is refused, what it takes to force it, and the answers."""

from typing import Any

import orjson
import pytest

from milepost.receipts import What, verify_receipt
from tests.key_server.destruction_world import TO_MIDNIGHT_MS, Aggregator, tombstone
from tests.key_server.key_world import DAY_MS, START, Connect, World, call, showing


async def post(client: Any, body: Any, token: str = "rotate") -> tuple[int, Any]:
    """POST to /v1/destroy."""
    async with client.post(
        "/v1/destroy", data=orjson.dumps(body), headers=showing(token)
    ) as response:
        return response.status, orjson.loads(await response.read())


async def test_destroying_by_hand(
    world: World, aggregator: Aggregator, aiohttp_client: Connect
) -> None:
    """Behind the same guard, unless forced with the very number that it names."""
    aggregator.drained, aggregator.clicks = False, 12
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(TO_MIDNIGHT_MS)
        order = {"epoch": 1, "what": "record"}
        held = await post(client, order)
        wrong = await post(client, order | {"force_clicks": 11})
        assert tombstone(world) == (None, None)
        done = await post(client, order | {"force_clicks": 12})
        again = await post(client, order)
        audit = await call(client, "keys", "/v1/audit")
        listed = await call(client, "keys", "/v1/receipts")

        assert tombstone(world) == (None, START + TO_MIDNIGHT_MS)
    assert (held[0], wrong[0], done[0], again[0]) == (409, 409, 200, 200)
    assert "force_clicks 12" in held[1]["detail"]
    assert "12 clicks" in wrong[1]["detail"]
    assert again == done
    receipt = verify_receipt(done[1]["receipt"], bytes.fromhex(listed["identity"]))
    assert (receipt.what, receipt.clicks) == (What.RECORD, 12)
    assert listed["receipts"] == [{"number": 1, **done[1]["receipt"]}]
    rows = [(row["who"], row["what"], row["epoch"]) for row in audit["rows"]]
    assert ("rotate", "destroy-record", 1) in rows


@pytest.mark.parametrize("clicks", [-1, 1e300, 0.5, 10**15])
async def test_an_answer_that_counts_wrongly_is_none(
    world: World, aggregator: Aggregator, aiohttp_client: Connect, clicks: float
) -> None:
    """No number that could not be sent back to force it, and none that breaks our own answer."""
    aggregator.drained, aggregator.clicks = False, clicks
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(TO_MIDNIGHT_MS)
        told = await call(client, "rotate", "/v1/destroy?epoch=1&what=record")

    assert (told["known"], told["clicks"]) == (False, 0)


async def test_a_salt_by_hand_waits_for_its_grace(
    world: World, aggregator: Aggregator, aiohttp_client: Connect
) -> None:
    """Unless forced; the prospect says what it would cost."""
    aggregator.clicks = 3
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(TO_MIDNIGHT_MS)
        early = await post(client, {"epoch": 1, "what": "salt"})
        prospect = await call(client, "rotate", "/v1/destroy?epoch=1&what=salt")
        done = await post(client, {"epoch": 1, "what": "salt", "force_clicks": 3})
        after = await call(client, "rotate", "/v1/destroy?epoch=1&what=salt")

    assert early[0] == 409
    assert (prospect["held_back"], prospect["clicks"], prospect["destroyed"]) == (True, 3, False)
    assert done[0] == 200
    assert (after["held_back"], after["destroyed"]) == (False, True)


@pytest.mark.parametrize("force", [{}, {"force_clicks": 0}])
async def test_the_present_cannot_be_destroyed(
    world: World, aiohttp_client: Connect, force: dict[str, int]
) -> None:
    """Neither the current epoch nor one ahead, by nobody; an unknown one is not there."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        for epoch, status in ((1, 409), (2, 409), (999, 404)):
            for what in ("salt", "record"):
                assert (await post(client, {"epoch": epoch, "what": what} | force))[0] == status
        # A clock that was set ahead does not make them past.
        world.clock.jump(2 * DAY_MS)
        assert (await post(client, {"epoch": 1, "what": "salt"} | force))[0] == 409

    assert tombstone(world) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"epoch": 1},
        {"epoch": "1", "what": "salt"},
        {"epoch": 1, "what": "all"},
        {"epoch": True, "what": "salt"},
        {"epoch": -1, "what": "salt"},
        {"epoch": 1, "what": ["salt"]},
        {"epoch": 1, "what": "record", "force_clicks": "all"},
        {"epoch": 1 << 60, "what": "salt"},
    ],
)
async def test_what_is_no_order_is_refused(
    world: World, aiohttp_client: Connect, body: Any
) -> None:
    """With 400 and words."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(TO_MIDNIGHT_MS)
        assert (await post(client, body))[0] == 400


async def test_only_who_may_write_destroys(world: World, aiohttp_client: Connect) -> None:
    """And only who may read sees receipts."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        assert (await post(client, {"epoch": 1, "what": "salt"}, "keys"))[0] == 403
        async with client.get("/v1/destroy?epoch=1&what=salt", headers=showing("keys")) as response:
            assert response.status == 403
        async with client.get("/v1/receipts", headers=showing("edge")) as response:
            assert response.status == 403
