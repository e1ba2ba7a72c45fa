"""Programs that were written for OP3, run against this aggregator as they are."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from aggregator.op3.rows import uuid_of
from aggregator.rolling.store import roll_block
from aggregator.searching.rows import written_moment
from milepost.record import Record
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_aggregator_query import Connect, connect, pull

SCRIPTS = Path(__file__).parent / "op3_scripts"
MONTH = ("2025-11", "2025-12")
URL = "https://a.example/e/pods.example/quiet.mp3"
HITS, BATCH = 6_000, 500
MOMENTS = 900  # several hits share each; the last page edge always falls inside one


async def run(script: str, *words: str) -> str:
    """Return what *script* prints, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(SCRIPTS / script), *words, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


def records(seed: int) -> list[Record]:
    """Return hits in no order, with many in the same millisecond, and one in ten of the URL."""
    chance = Random(seed)
    return [
        a_record(
            each,
            time=START + chance.randrange(MOMENTS) * 1_000,
            kind="prefix",
            link=None,
            path="/e/pods.example/quiet.mp3" if each % 10 == 0 else f"/e/b.example/{each}.mp3",
            agent=chance.choice(["Pod\tcast/1\nx", "b\x85c\u2028d", None]),
        )
        for each in range(HITS)
    ]


@pytest.fixture
async def served(world: World, aiohttp_client: Connect) -> tuple[str, list[tuple[Record, str]]]:
    """Return the aggregator's base URL, and every hit with its uuid."""
    client = await connect(world, aiohttp_client)
    found = records(1)
    batches = [found[at : at + BATCH] for at in range(0, HITS, BATCH)]
    await pull(world, *batches)
    for _ in range(3):  # some are in blocks, and some are not yet
        await world.writer.transact(roll_block)
    rows = await world.readers.rows(
        "SELECT lower(hex(a.batch)), h.idx, t.value, h.time_ms FROM hit h"
        " JOIN applied a ON a.id = h.batch JOIN text t ON t.id = h.path"
    )
    times = Counter((record.path, record.time) for record in found)
    assert times == Counter((path, time_ms) for _, _, path, time_ms in rows)
    placed = [
        (a_record(path=path, time=time_ms), uuid_of(batch, idx))
        for batch, idx, path, time_ms in rows
    ]
    return str(client.make_url("")).rstrip("/"), placed


async def test_a_month_comes_once(served: tuple[str, list[tuple[Record, str]]]) -> None:
    """Paged by the time of the last row, though many rows share a millisecond."""
    base, placed = served

    lines = (await run("month_as_tsv.py", base, "reader", *MONTH)).splitlines()

    expected = sorted(
        (written_moment(record.time), uuid, f"https://a.example{record.path}")
        for record, uuid in placed
    )
    assert [tuple(line.split("\t")) for line in lines] == expected


async def test_the_last_of_a_url(served: tuple[str, list[tuple[Record, str]]]) -> None:
    """Exactly as many as were asked for, and they are the newest."""
    base, placed = served

    rows = json.loads(await run("last_of_url.py", base, "reader", URL))

    mine = sorted(
        ((record.time, uuid) for record, uuid in placed if record.path.endswith("quiet.mp3")),
        reverse=True,
    )
    assert len(mine) == HITS // 10
    assert [row["uuid"] for row in rows] == [uuid for _, uuid in mine[:250]]
    assert {row["url"] for row in rows} == {URL}
