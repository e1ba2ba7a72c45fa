"""What the combined database holds, beside what the key server's own files say it should."""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from key_server.wrapping import Purpose, Vault
from milepost.visitor import visitor_hash
from milepost.vocabulary import BatchId, Epoch, Salt
from tests.log.kit import Answers, Log, Service, World
from tests.log.test_log_addresses import MASTER_KEY

VISITOR = "127.0.0.1"
LOOK_SECONDS = 0.25
COMBINED, KEYS = "combined/combined.db", "keys/keys.db"

HITS = "SELECT text.value, epoch, visitor FROM hit JOIN text ON text.id = hit.path"
UNSETTLED = """
    SELECT (SELECT count(*) FROM hit), (SELECT count(*) FROM sealed),
           (SELECT count(*) FROM address_box)
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit as it is counted."""

    path: str
    epoch: Epoch
    visitor: bytes | None


@contextlib.contextmanager
def ending(*services: Service) -> Iterator[None]:
    """End *services* with the block, whatever happens in it."""
    try:
        yield
    finally:
        for service in services:
            service.kill()


def _rows(running: World, file: str, query: str) -> list[Any]:
    found = sqlite3.connect(f"file:{running.folder / file}?mode=ro", uri=True)
    with contextlib.closing(found):
        return found.execute(query).fetchall()


def hits(running: World) -> list[Hit]:
    """Return every hit."""
    return [Hit(*row) for row in _rows(running, COMBINED, HITS)]


def salts_held(running: World) -> dict[Epoch, Salt]:
    """Return every salt that the key server has on its disk, those of later epochs too."""
    vault = Vault(MASTER_KEY)
    rows = _rows(running, KEYS, "SELECT number, salt FROM epoch WHERE salt IS NOT NULL")
    return {number: Salt(vault.unwrap(Purpose.SALT, number, salt)) for number, salt in rows}


async def settled(running: World, wanted: int, seconds: float) -> float:
    """Wait until there are *wanted* hits, none sealed, and no box; return how long that took."""
    begun = time.monotonic()
    while True:
        ((found, sealed, boxes),) = _rows(running, COMBINED, UNSETTLED)
        took = time.monotonic() - begun
        if (found, sealed, boxes) == (wanted, 0, 0):
            await asyncio.sleep(LOOK_SECONDS)  # what is measured follows its commit
            return took
        assert took < seconds, f"{found} of {wanted} hits, {sealed} sealed, {boxes} boxes"
        await asyncio.sleep(LOOK_SECONDS)


def judge_counted(running: World, logs: list[Log], answers: Answers) -> list[Hit]:
    """Each redirect is one hit, and each batch that holds records was applied; return the hits."""
    found = hits(running)
    assert answers.other == {}
    assert answers.unanswered == 0
    assert Counter(hit.path for hit in found) == dict.fromkeys(answers.redirected, 1)
    applied = {BatchId(batch) for (batch,) in _rows(running, COMBINED, "SELECT batch FROM applied")}
    for log in logs:
        assert {name for name, batch in log.batches.items() if batch.records} <= applied
    return found


def judge_visitors(found: list[Hit], salts: Mapping[Epoch, Salt]) -> list[Hit]:
    """Each hash is the one that its epoch's salt gives; return the hits that have none."""
    hashes = {epoch: visitor_hash(salt, VISITOR) for epoch, salt in salts.items()}
    assert {hit.visitor == hashes[hit.epoch] for hit in found if hit.visitor is not None} == {True}
    return [hit for hit in found if hit.visitor is None]


def without_at_first(logs: list[Log]) -> int:
    """Return how many records have no hash on their edge's disk."""
    return sum(record.visitor is None for log in logs for record in log.records)


async def measured(service: Service) -> dict[tuple[str, str], float]:
    """Return how many hits were hashed late, and how many are without, by why."""
    url = f"http://127.0.0.1:{service.private_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    return {
        (sample.name, sample.labels.get("fault", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in {"milepost_hits_hashed_total", "milepost_hits_without_hash_total"}
    }
