"""Files damaged, forked or unreadable under a real edge and a real aggregator."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from milepost import sqlite
from milepost.batch import HOUR_MS, Batch, TallyRow, first_chain, next_chain, tally_text
from milepost.client import Client
from milepost.config import Secret
from milepost.epochs import PublicEpoch, verify_list
from milepost.record import Record
from milepost.seal import seal_records
from milepost.vocabulary import BatchId, Millis, Seq, StreamId
from regional_logger.store import append
from tests.log.combined import QUERY_TOKEN, aggregator, ask, counted, hits, log_dir, told
from tests.log.kit import READER_TOKEN, Answers, Service, World, read_log, stream_batches, world
from tests.log.test_log_copies import DURABLE, newest, one_by_one, start

pytestmark = pytest.mark.slow

CLICKS = 40
ACKNOWLEDGED_SECONDS, LOOK_SECONDS = 20.0, 0.1


async def a_closed_stream(running: World, answers: Answers) -> Path:
    """Return the stream of a life that is over, each of its batches one record, all in one file."""
    await start(running)
    await one_by_one(running, "n", range(CLICKS), answers)
    assert running.edge.stop() == 0
    path = log_dir(running) / f"{newest(log_dir(running))}.db"
    connection = sqlite.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def with_records(path: Path) -> list[Batch]:
    """Return the batches of a stream that hold a record."""
    return [batch for batch in stream_batches(path) if batch.header.count]


async def acknowledged(path: Path, end: str = "") -> bool:
    """Wait until the stream at *path* may retire, up to that *end*; tell whether that came."""
    for _ in range(round(ACKNOWLEDGED_SECONDS / LOOK_SECONDS)):
        if is_marked(path, end):
            break
        await asyncio.sleep(LOOK_SECONDS)
    return is_marked(path, end)


def is_marked(path: Path, end: str) -> bool:
    """Tell whether the edge has kept that *end* (any if it is empty) as acknowledged."""
    mark = path.with_suffix(".acknowledged")
    return mark.exists() and end in mark.read_text()


async def post(service: Service, path: str, body: Any) -> Any:
    """POST to *service* as an operator."""
    url = f"http://127.0.0.1:{service.private_port}"
    async with Client.connect(url, Secret(QUERY_TOKEN)) as client:
        return await client.post(path, body)


async def test_a_flipped_byte_costs_one_batch(tmp_path: Path) -> None:
    """It is set aside alone and named; all others are counted, and the file may retire."""
    answers, later = Answers(), Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        path = await a_closed_stream(running, answers)
        victim = with_records(path)[17]
        content = bytearray(path.read_bytes())
        content[content.index(victim.records) + 9] ^= 0x10
        path.write_bytes(content)
        combined = aggregator(running, [running.edge])
        await start(running)
        combined.start()
        try:
            await one_by_one(running, "later", range(5), later)
            wanted = set(answers.redirected + later.redirected) - {answers.redirected[17]}
            await counted(combined, wanted)
            retires = await acknowledged(path)
            found = await hits(combined)
            aside = await ask(combined, "/v1/set-aside")
            about = await ask(combined, "/v1/sources")
        finally:
            combined.kill()

    assert found == dict.fromkeys(wanted, 1)
    assert retires
    (batch,) = aside["batches"]
    assert (batch["stream"], batch["seq"]) == (path.stem, victim.header.seq)
    assert batch["reason"] == f"batch {victim.header.seq} does not follow the chain"
    assert aside["total"] == about["set_aside"] == {"batches": 1, "records": 1}
    assert about["sources"][0]["lag_records"] == 0
    assert not any(stream.get("fault") for stream in about["sources"][0]["streams"])


async def test_a_page_that_cannot_be_read_is_named_and_written_off(tmp_path: Path) -> None:
    """What is before it is counted, the other stream flows; abandoned, the file may retire."""
    answers, later = Answers(), Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        path = await a_closed_stream(running, answers)
        with path.open("r+b") as file:  # a page in the middle of the rows
            file.seek(path.stat().st_size // 4096 // 2 * 4096)
            file.write(os.urandom(4096))
        combined = aggregator(running, [running.edge])
        await start(running)
        combined.start()
        try:
            await one_by_one(running, "later", range(5), later)
            await counted(combined, later.redirected)
            about = await told(combined, is_named(path))
            early = await acknowledged_soon(path)
            body = {"stream": path.stem}
            done = await post(combined, "/v1/sources/abandon", body)
            retires = await acknowledged(path)
            found = await hits(combined)
            after = await told(combined, lambda answer: not answer["sources"][0]["lag_records"])
        finally:
            combined.kill()

    source = about["sources"][0]
    missing = set(answers.redirected) - set(found)
    assert source["unreadable"] == [path.name]
    assert set(found.values()) == {1}
    assert set(later.redirected) <= set(found)
    assert 0 < len(missing) < CLICKS
    # What was in the lost page was never announced: the life's meter alone tells of it.
    assert 0 < source["lag_records"] == done["records"] < len(missing)
    assert (early, retires) == (False, True)
    assert after["sources"][0]["lag_records"] == 0


def is_named(path: Path) -> Callable[[dict[str, Any]], bool]:
    """Return what tells whether the file at *path* is named, and what is before it counted."""

    def enough(answer: dict[str, Any]) -> bool:
        (source,) = answer["sources"]
        return path.name in source.get("unreadable", ())

    return enough


async def acknowledged_soon(path: Path) -> bool:
    """Tell whether the stream at *path* may retire after a few pulls more."""
    await asyncio.sleep(3)
    return path.with_suffix(".acknowledged").exists()


async def test_a_file_that_goes_on_differently_is_counted_once(tmp_path: Path) -> None:
    """Both histories: what was pulled before, and what the file has now; and it may retire."""
    answers = Answers()
    kept, fresh = 20, CLICKS  # the fork is longer than what was pulled
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        path = await a_closed_stream(running, answers)
        combined = aggregator(running, [running.edge])
        await start(running)
        combined.start()
        try:
            await counted(combined, answers.redirected)
            assert running.edge.stop() == 0
            last = await epoch_of(running)
            fork(path, kept, (await read_log(running)).records[0], last, fresh)
            end = stream_batches(path)[-1]
            await start(running)
            wanted = [*answers.redirected, *(forked_path(number) for number in range(fresh))]
            await counted(combined, wanted)
            retires = await acknowledged(path, f"{end.header.seq} {end.chain.hex()}")
            found = await hits(combined)
            about = await told(combined, lambda answer: not answer["sources"][0]["lag_records"])
        finally:
            combined.kill()

    assert found == Counter(wanted)
    assert retires, "and not for the end of the history before"
    (stream,) = (each for each in about["sources"][0]["streams"] if each["stream"] == path.stem)
    assert "forked" in stream
    assert "fault" not in stream
    assert about["sources"][0]["lag_records"] == 0


def forked_path(number: int) -> str:
    """Return the path of a record that only the fork has."""
    return f"/e/target.example/fork/{number}"


async def epoch_of(running: World) -> PublicEpoch:
    """Return the epoch that one seals to now."""
    identity = bytes.fromhex(running.edge.env["MILEPOST_KEYS_IDENTITY"])
    url = f"http://127.0.0.1:{running.keys.private_port}"
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        document = await client.get("/v1/epochs")
    epoch = verify_list(document, identity).at(Millis(time.time_ns() // 1_000_000))
    assert epoch is not None
    return epoch


def fork(path: Path, kept: int, like: Record, epoch: PublicEpoch, fresh: int) -> None:
    """Have the stream at *path* go on otherwise behind *kept* batches, with *fresh* records."""
    stream = StreamId(bytes.fromhex(path.stem))
    batches = stream_batches(path)[:kept]
    header = next(batch.header for batch in batches if batch.header.count)
    chain = batches[-1].chain if batches else first_chain(stream)
    connection = sqlite.connect(path)
    connection.execute("DELETE FROM batch WHERE seq > ?", (kept,))
    for number in range(fresh):
        record = like._replace(path=forked_path(number))
        tally = tally_text((TallyRow(record.time - record.time % HOUR_MS, 1, 0, 0, 0),))
        mine = replace(
            header,
            seq=Seq(kept + 1 + number),
            batch=BatchId(os.urandom(16)),
            epoch=epoch.number,
            key=epoch.key_id,
            tally=tally,
        )
        box = seal_records(mine, [record], epoch.record_key)
        chain = next_chain(chain, mine, box, b"")
        append(connection, Batch(header=mine, records=box, addresses=b"", chain=chain))
    connection.close()
