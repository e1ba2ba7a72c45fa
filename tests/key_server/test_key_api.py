"""What callers of the key server get, and what they do not."""

import asyncio
from time import monotonic

import orjson
import pytest
from structlog.testing import capture_logs

from milepost.batch import Header
from milepost.epochs import PublicEpoch, verify_list
from milepost.record import Record
from milepost.seal import open_body, seal_records
from milepost.vocabulary import BatchId, Millis, Seq, StreamId
from tests.key_server.key_world import DAY_MS, START, Connect, World, a_waiter, call, showing

MINUTE_MS = 60_000
TO_MIDNIGHT_MS = DAY_MS // 2


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/epochs", {"edge", "open"}),
        ("/v1/salts", {"edge"}),
        ("/v1/epochs/1/record-key", {"open"}),
        ("/v1/states", {"keys"}),
    ],
)
async def test_each_call_needs_its_scope(
    world: World, aiohttp_client: Connect, path: str, allowed: set[str]
) -> None:
    """Whoever is unknown gets 401, whoever lacks the scope 403, and no answer is kept."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        for token in ("edge", "open", "keys", "pull", "stranger", ""):
            expected = 200 if token in allowed else 403
            if token in {"stranger", ""}:
                expected = 401
            async with client.get(path, headers=showing(token) if token else {}) as response:
                assert response.status == expected
                assert response.headers["Cache-Control"] == "no-store"


async def test_a_missing_scope_is_named(world: World, aiohttp_client: Connect) -> None:
    """Either of the two would do."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        async with client.get("/v1/epochs", headers=showing("pull")) as response:
            problem = orjson.loads(await response.read())

    assert "'edge' or 'open'" in problem["detail"]


async def test_the_list_is_signed_and_known_by_its_etag(
    world: World, aiohttp_client: Connect
) -> None:
    """Who has it is told so in 304 without a body."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        async with client.get("/v1/epochs", headers=showing("edge")) as response:
            etag = response.headers["ETag"]
            listed = verify_list(orjson.loads(await response.read()), server.issuer.identity)
        known = showing("edge", **{"If-None-Match": etag})
        async with client.get("/v1/epochs", headers=known) as response:
            assert response.status == 304
            assert response.headers["ETag"] == etag
            assert await response.read() == b""

    assert listed.version == START


async def test_a_long_poll_wakes_on_a_newer_list(world: World, aiohttp_client: Connect) -> None:
    """It comes long before the wait is over."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        known = showing("edge", **{"If-None-Match": f'"{server.issuer.board.shown.etag}"'})
        waiting = asyncio.ensure_future(client.get("/v1/epochs?wait_ms=30000", headers=known))
        await a_waiter(server.issuer.board)
        world.clock.move(DAY_MS)
        await server.issuer.look()
        async with await waiting as response:
            assert response.status == 200
            listed = verify_list(orjson.loads(await response.read()), server.issuer.identity)

    assert listed.version == START + DAY_MS


async def test_a_long_poll_without_news_ends_in_304(world: World, aiohttp_client: Connect) -> None:
    """After the time that was asked for."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        known = showing("edge", **{"If-None-Match": f'"{server.issuer.board.shown.etag}"'})
        begun = monotonic()
        async with client.get("/v1/epochs?wait_ms=50", headers=known) as response:
            assert response.status == 304

    assert monotonic() - begun >= 0.05


async def test_who_knows_nothing_does_not_wait(world: World, aiohttp_client: Connect) -> None:
    """Or knows another list than this one."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        old = showing("edge", **{"If-None-Match": '"old"'})
        for headers in (showing("edge"), old):
            async with client.get("/v1/epochs?wait_ms=30000", headers=headers) as response:
                assert response.status == 200


@pytest.mark.parametrize("wait_ms", ["-1", "soon", "1e3", "9" * 40])
async def test_a_wait_that_is_no_number_is_refused(
    world: World, aiohttp_client: Connect, wait_ms: str
) -> None:
    """With what would be one."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        path = f"/v1/epochs?wait_ms={wait_ms}"
        async with client.get(path, headers=showing("edge")) as response:
            assert response.status == 400
            assert "0..30000" in (await response.text())


async def test_waiters_are_released_at_the_end(world: World, aiohttp_client: Connect) -> None:
    """A stop does not take as long as the longest wait."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        known = showing("edge", **{"If-None-Match": f'"{server.issuer.board.shown.etag}"'})
        waiting = asyncio.ensure_future(client.get("/v1/epochs?wait_ms=30000", headers=known))
        await a_waiter(server.issuer.board)
        server.issuer.board.close()
        async with await waiting as response:
            assert response.status == 304


async def test_waiters_are_bounded(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a caller is told to come back."""
    monkeypatch.setattr("key_server.board.WAITERS_MAX", 0)
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        known = showing("edge", **{"If-None-Match": f'"{server.issuer.board.shown.etag}"'})
        async with client.get("/v1/epochs?wait_ms=30000", headers=known) as response:
            assert response.status == 503


async def test_the_salt_is_the_current_one(world: World, aiohttp_client: Connect) -> None:
    """And the next one as well when midnight is near; each is another."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        (salt,) = (await call(client, "edge", "/v1/salts"))["salts"]
        world.clock.move(TO_MIDNIGHT_MS - 10 * MINUTE_MS)
        both = (await call(client, "edge", "/v1/salts"))["salts"]

    assert salt["start_ms"] <= START < salt["end_ms"]
    assert len(bytes.fromhex(salt["salt"])) == 32
    assert both[0] == salt
    assert both[1]["epoch"] == salt["epoch"] + 1
    assert both[1]["salt"] != salt["salt"]


async def test_a_record_key_opens_what_was_sealed_to_its_public_half(
    world: World, aiohttp_client: Connect
) -> None:
    """The edge seals with the list, the aggregator opens with the answer."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        document = await call(client, "open", "/v1/epochs")
        epoch = verify_list(document, server.issuer.identity).epochs[0]
        told = await call(client, "open", f"/v1/epochs/{epoch.number}/record-key")
    header, records = a_header(epoch), [a_record()]
    box = seal_records(header, records, epoch.record_key)

    assert open_body(header, box, bytes.fromhex(told["record_key"])).records == tuple(records)
    assert told["key"] == epoch.key_id.hex()


@pytest.mark.parametrize("number", ["999", "0", "-1", "x", "1.0", "9" * 40, "%00", "%D9%A1"])
async def test_an_unknown_epoch_has_no_record_key(
    world: World, aiohttp_client: Connect, number: str
) -> None:
    """The refusal is a problem that names it."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        path = f"/v1/epochs/{number}/record-key"
        async with client.get(path, headers=showing("open")) as response:
            assert response.status == 404
            assert response.content_type == "application/problem+json"
            assert "epoch" in orjson.loads(await response.read())["detail"]


async def test_states_show_every_epoch_and_nothing_secret(
    world: World, aiohttp_client: Connect
) -> None:
    """Past, active and ahead, in this order."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(2 * DAY_MS)
        await server.issuer.look()
        told = await call(client, "keys", "/v1/states")
        shown = server.issuer.board.shown

    states = [epoch["state"] for epoch in told["epochs"]]
    assert states[:4] == ["past", "past", "active", "ahead"]
    assert set(states[4:]) == {"ahead"}
    fields = {"epoch", "state", "start_ms", "end_ms", "key", "salt_gone_ms", "record_gone_ms"}
    assert set(told["epochs"][0]) == fields
    assert told["version"] == shown.version
    assert told["identity"] == server.issuer.identity.hex()


async def test_ready_means_that_now_has_an_epoch(world: World, aiohttp_client: Connect) -> None:
    """A clock before the first epoch is the reason that is told."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        async with client.get("/readyz") as response:
            assert response.status == 200
        world.clock.move(-DAY_MS)
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert "epoch" in orjson.loads(await response.read())["reasons"]


async def test_secrets_are_answered_and_never_logged(world: World, aiohttp_client: Connect) -> None:
    """Who was given a record key is logged; neither key nor salt is, nor are they metrics."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        with capture_logs() as lines:
            (salt,) = (await call(client, "edge", "/v1/salts"))["salts"]
            key = await call(client, "open", "/v1/epochs/1/record-key")
        async with client.get("/metrics") as response:
            metrics = await response.text()

    text = repr(lines) + metrics
    assert {"event": "record_key.given", "epoch": 1, "to": "open"}.items() <= lines[-1].items()
    assert salt["salt"] not in text
    assert key["record_key"] not in text
    assert 'milepost_keys_calls_total{purpose="record_key"}' in metrics
    assert "milepost_keys_epochs_ahead 49.0" in metrics


def a_header(epoch: PublicEpoch) -> Header:
    """Return the header of a batch of one."""
    return Header(
        stream=StreamId(bytes(16)),
        seq=Seq(1),
        batch=BatchId(bytes(16)),
        epoch=epoch.number,
        key=epoch.key_id,
        count=1,
        first_ms=START,
        last_ms=Millis(START + 1),
        tally="[]",
    )


def a_record() -> Record:
    """Return any record."""
    return Record(
        kind="prefix",
        time=START,
        method="GET",
        host="go.example",
        path="/e/example.com/",
        target="https://example.com/",
        status=302,
        region="dfw",
    )
