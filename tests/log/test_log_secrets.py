"""Salts, keys, tokens, addresses: in no file, no log line, no metric and no error, under load."""

import asyncio
import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import aiohttp
import orjson
import pytest

from key_server.wrapping import Purpose, Vault
from milepost.hashing import ITEMS_MAX, Item
from milepost.tokens import (
    ADDRESSES,
    AGGREGATOR_SCOPES,
    EDGE_SCOPES,
    KEYS_READ,
    KEYS_WRITE,
    tokens_document,
)
from tests.log.combined import QUERY_TOKEN, aggregator, counted, log_dir
from tests.log.kit import (
    EDGE_TOKEN,
    READER_TOKEN,
    Answers,
    Service,
    World,
    stream_batches,
    world,
)
from tests.log.sealed import MASTER_KEY, keys_in
from tests.log.search import address_needles, encoded_needles, found_in_files
from tests.log.test_log_addresses import ADDRESSES as VISITORS
from tests.log.test_log_addresses import everybody_clicks, found_addresses, learned_keys
from tests.log.test_log_epochs import service_of
from tests.log.test_log_litestream import replicated
from tests.log.test_log_rotation import KEYS_TOKEN, begin, click_some, clicking, post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OPENER_TOKEN, NOBODY = "milepost_" + "d" * 64, "milepost_" + "0123456789abcdef" * 4
TOKENS = (EDGE_TOKEN, READER_TOKEN, KEYS_TOKEN, OPENER_TOKEN, QUERY_TOKEN, NOBODY)
USED_EPOCHS = 4
OVERSIZE = b"[" + b'"%s",' % VISITORS[0].encode() * 200_000
BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"%s"' % VISITORS[0].encode(),
    b'{"items": ["%s", {"box": "%s' % (VISITORS[0].encode(), VISITORS[1].encode()),
    b'{"items": ["%s"]}' % VISITORS[0].encode(),
    b'{"items": {}, "epoch": "%s", "what": "%s", "to": "%s"}' % ((VISITORS[0].encode(),) * 3),
    b'{"epoch": 999999, "what": "salt"}',
    b'{"epoch": 1, "what": "record", "force_clicks": -1}',
    b'{"epoch": 1, "what": "salt"}',
    b'{"epoch": 4, "what": "record", "force_clicks": 0}',
    b'{"to": "/proc/no"}',
    b"\xff\xfe\x00" * 9,
    b"[" * 20_000,
    OVERSIZE,
)
GETS = (
    "/v1/epochs",
    "/v1/epochs?wait_ms=x",
    "/v1/salts",
    "/v1/epochs/999999/record-key",
    "/v1/epochs/x/record-key",
    "/v1/states",
    "/v1/audit",
    "/v1/audit?after=-1",
    "/v1/receipts",
    "/v1/receipts?after=x",
    "/v1/destroy",
    "/v1/destroy?epoch=999999&what=salt",
    "/v1/destroy?epoch=1&what=everything",
    "/v1/nothing",
)
POSTS = ("/v1/hash", "/v1/open-addresses", "/v1/rotate", "/v1/destroy", "/v1/backup", "/v1/epochs")
GIVING = {"/v1/salts": EDGE_TOKEN}  # what its answer is for


@dataclass(slots=True)
class Said:
    """What services answered: all bodies and headers, and how often each status."""

    texts: list[bytes] = field(default_factory=list)
    given: list[bytes] = field(default_factory=list)  # answers that are there to tell a secret
    statuses: Counter[int] = field(default_factory=Counter)

    async def hear(self, response: aiohttp.ClientResponse, *, giving: bool = False) -> None:
        """Keep an answer."""
        text = await response.read() + b"".join(itertools.chain(*response.raw_headers))
        (self.given if giving else self.texts).append(text)
        self.statuses[response.status] += 1


def allow_everybody(running: World) -> None:
    """Write a tokens file with somebody for every scope."""
    Path(running.edge.env["MILEPOST_TOKENS_FILE"]).write_bytes(
        tokens_document(
            [
                ("edge", EDGE_SCOPES, EDGE_TOKEN),
                ("reader", AGGREGATOR_SCOPES, READER_TOKEN),
                ("operator", (KEYS_READ, KEYS_WRITE), KEYS_TOKEN),
                ("opener", (ADDRESSES,), OPENER_TOKEN),
            ]
        )
    )


def damaged(item: Item) -> Iterator[Item]:
    """Return *item* as it should not be."""
    box, header = item.box, item.header
    yield replace(item, box=box[:40])
    yield replace(item, box=bytes(len(box)))
    yield from (replace(item, box=_flipped(box, at)) for at in (0, 31, 40, len(box) - 1))
    yield replace(item, header=replace(header, count=header.count + 1))
    yield replace(item, header=replace(header, key=type(header.key)(bytes(8))))
    yield from (
        replace(item, header=replace(header, epoch=type(header.epoch)(epoch)))
        for epoch in (1, 2, 999_999)
    )


def _flipped(box: bytes, at: int) -> bytes:
    changed = bytearray(box)
    changed[at] ^= 1
    return bytes(changed)


def items_of(running: World) -> list[Item]:
    """Return what address boxes the edge's streams hold."""
    return [
        Item(batch.header, batch.addresses)
        for path in log_dir(running).glob("*.db")
        for batch in stream_batches(path)
        if batch.addresses
    ]


async def provoke(running: World, said: Said) -> None:
    """Ask everything of the key server that it answers, and that it refuses."""
    url = f"http://127.0.0.1:{running.keys.private_port}"
    async with aiohttp.ClientSession(url) as session:
        for token, path in itertools.product((*TOKENS, ""), GETS):
            async with session.get(path, headers=showing(token)) as response:
                await said.hear(response, giving=GIVING.get(path) == token)
        for token, path, body in itertools.product((*TOKENS, ""), POSTS, BODIES):
            if path == "/v1/rotate" and token == KEYS_TOKEN:
                continue  # it does what it is asked to
            async with session.post(path, headers=showing(token), data=BytesIO(body)) as response:
                await said.hear(response)
        for token in TOKENS:
            for method in ("PUT", "DELETE", "PATCH"):
                async with session.request(method, "/v1/hash", headers=showing(token)) as response:
                    await said.hear(response)


async def provoke_with_boxes(running: World, said: Said) -> int:
    """Send damaged boxes, and whole ones for who may have them opened; return how many."""
    url = f"http://127.0.0.1:{running.keys.private_port}"
    found = items_of(running)
    tokens = {"/v1/hash": READER_TOKEN, "/v1/open-addresses": OPENER_TOKEN}
    async with aiohttp.ClientSession(url) as session:
        for path, token in tokens.items():
            for item in found[:3]:
                body = orjson.dumps({"items": [each.to_json() for each in damaged(item)]})
                async with session.post(path, headers=showing(token), data=body) as response:
                    await said.hear(response)
        largest = sorted(found, key=lambda item: len(item.box))[-ITEMS_MAX:]
        body = orjson.dumps({"items": [item.to_json() for item in largest]})
        headers = showing(OPENER_TOKEN)
        async with session.post("/v1/open-addresses", headers=headers, data=body) as response:
            await said.hear(response, giving=True)
    return len(found)


async def ask_the_others(services: list[Service], said: Said) -> None:
    """Read every metric and every state, and show each service what it does not want."""
    for service in services:
        url = f"http://127.0.0.1:{service.private_port}"
        async with aiohttp.ClientSession(url) as session:
            for path in ("/metrics", "/readyz", "/livez", "/v1/pull", "/v1/hits", "/v1/links"):
                for token in (NOBODY, EDGE_TOKEN):
                    async with session.get(path, headers=showing(token)) as response:
                        await said.hear(response)
            for body in BODIES:
                async with session.post(
                    "/v1/pull", headers=showing(READER_TOKEN), data=BytesIO(body)
                ) as response:
                    await said.hear(response)


def showing(token: str) -> dict[str, str]:
    """Return the headers of a call with *token*, or with none."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def secret_ones(database: Path) -> dict[str, bytes]:
    """Return what to look for: all that unwraps, what unwraps it, and the tokens."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    (seed,) = connection.execute("SELECT seed FROM meta").fetchone()
    connection.close()
    found = encoded_needles("master key", MASTER_KEY)
    found |= encoded_needles("identity", Vault(MASTER_KEY).unwrap(Purpose.IDENTITY, 0, seed))
    for number, secrets in sorted(keys_in(database).items())[:USED_EPOCHS]:
        for name, secret in zip(("record", "address", "salt"), secrets.all, strict=True):
            found |= encoded_needles(f"{name} {number}", secret)
    for number, token in enumerate(TOKENS):
        found |= encoded_needles(f"token {number}", token.encode())
    return found


def visitor_needles() -> dict[str, bytes]:
    """Return every form of an address that is too long to come up by chance."""
    found: dict[str, bytes] = {}
    for each in VISITORS:
        found |= encoded_needles(each, each.encode()) | address_needles(each)
    return {name: needle for name, needle in found.items() if len(needle) > 4}


def within(texts: list[bytes], needles: dict[str, bytes]) -> set[str]:
    """Return which of *needles* one of *texts* holds."""
    return {name for name, needle in needles.items() if any(needle in text for text in texts)}


async def test_nothing_secret_is_told_logged_or_written(tmp_path: Path) -> None:
    """Every service at its most talkative, under load, while everything is asked wrongly."""
    answers, said = Answers(), Said()
    with world(tmp_path, CLIENT_IP="forwarded:1", ADDRESSES="all", LOG_LEVEL="DEBUG") as running:
        combined = aggregator(running, [running.edge])
        links = service_of(running, "link_registry")
        running.edge.env["MILEPOST_LINKS_URL"] = f"http://127.0.0.1:{links.private_port}"
        for service in (running.keys, combined, links):
            service.env["MILEPOST_LOG_LEVEL"] = "DEBUG"
        running.keys.stop()
        allow_everybody(running)
        await begin(running)
        await learned_keys(running)
        async with replicated(running):
            try:
                needles = await live(running, [combined, links], answers, said)
            finally:
                combined.stop()
                links.stop()

    seen = visitor_needles()
    assert {"salt 4 hex"} <= within(said.given, needles)
    assert within(said.given, seen), "the search finds what is there"
    assert within(said.texts, needles | seen) == set()
    assert found_in_files(tmp_path, needles | seen) == {}
    assert found_addresses(tmp_path) == {}
    assert {200, 400, 401, 403, 404, 405, 409, 413} <= said.statuses.keys()
    assert 500 not in said.statuses
    lines = logs_of(tmp_path)
    assert b'"boxes.opened"' in lines
    assert b"Traceback" not in lines


def logs_of(folder: Path) -> bytes:
    """Return every log line."""
    return b"".join(path.read_bytes() for path in folder.glob("*.log"))


async def live(
    running: World, others: list[Service], answers: Answers, said: Said
) -> dict[str, bytes]:
    """Run it all for a while; return what nobody may have been told."""
    for service in (*others, running.edge):
        service.start()
    for service in (*others, running.edge):
        await asyncio.to_thread(service.wait_live)
    for _ in range(USED_EPOCHS - 1):
        await click_some(running, answers, "load")
        await everybody_clicks(running, "r", answers)
        await post(running, "/v1/rotate")
    needles = secret_ones(running.folder / "keys" / "keys.db")
    async with clicking(running, answers, "load"):
        await everybody_clicks(running, "r", answers)
        assert await provoke_with_boxes(running, said)
        await provoke(running, said)
        await ask_the_others([*others, running.edge, running.keys], said)
    assert await counted(others[0], answers.redirected)
    return needles
