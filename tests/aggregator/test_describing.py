"""What hits were brought by is described once, in the transaction that brings the first."""

from pathlib import Path

import pytest

from aggregator.classifying.lists import LIST_VERSION
from aggregator.describing.store import Described
from aggregator.hits.interning import TextCache
from aggregator.hits.store import HitWriter
from aggregator.rolling.store import roll_block
from milepost.database import open_database
from milepost.record import Body
from milepost.sqlite import Connection
from milepost.vocabulary import Epoch
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.test_aggregator_hashes import HOME, a_stream, pull

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
DESCRIPTIONS = """
    SELECT coalesce(agent.value, ''), version, class.value, browser.value
      FROM agent_class
      LEFT JOIN text AS agent ON agent.id = agent_class.agent
      JOIN text AS class ON class.id = agent_class.class
      LEFT JOIN text AS browser ON browser.id = agent_class.browser
     ORDER BY 1
"""
REFERRERS = """
    SELECT from_.value, host.value FROM referrer
      JOIN text AS from_ ON from_.id = referrer.referer JOIN text AS host ON host.id = referrer.host
"""
RECORDS = (
    a_record(0, agent=None, referer="https://News.example/today?q=1"),
    a_record(1, agent=FIREFOX, referer="nonsense"),
    a_record(2, agent=FIREFOX, referer="https://News.example/today?q=1"),
)


@pytest.fixture
def db(tmp_path: Path) -> Connection:
    """Return a combined database."""
    return open_database(tmp_path / "combined.db", "combined")


def test_each_agent_and_referer_is_described_once(db: Connection) -> None:
    """Also if there is none; what has no host has no row."""
    texts, described = TextCache(100), Described(100)
    for batch in range(3):
        writer = HitWriter(db, texts, described)
        writer.write(batch, Epoch(1), Body(RECORDS))
        if batch:  # what is remembered and what is only stored come to the same
            writer.keep()

    assert db.execute(DESCRIPTIONS).fetchall() == [
        ("", LIST_VERSION, "bot", None),
        (FIREFOX, LIST_VERSION, "human", "Firefox"),
    ]
    assert db.execute(REFERRERS).fetchall() == [("https://News.example/today?q=1", "news.example")]


def test_what_is_rolled_back_is_described_again(db: Connection) -> None:
    """Nothing is remembered of a transaction that did not end well."""
    texts, described = TextCache(100), Described(100)
    db.execute("BEGIN")
    HitWriter(db, texts, described).write(1, Epoch(1), Body(RECORDS))
    db.execute("ROLLBACK")

    writer = HitWriter(db, texts, described)
    writer.write(1, Epoch(1), Body(RECORDS))
    writer.keep()

    assert len(db.execute(DESCRIPTIONS).fetchall()) == 2


async def test_hashes_that_come_late_are_counted(world: World) -> None:
    """Although their hits were rolled up before."""
    stream = await a_stream(world)
    late = [a_record(number, visitor=None, agent=FIREFOX) for number in range(3)]
    stream.add(world.epoch, late, addresses={0: HOME, 1: HOME})
    await pull(world)
    assert await world.writer.transact(lambda db: roll_block(db, 2)) == 3
    total = "SELECT human_clicks, human_firsts FROM rollup WHERE dimension = 0 AND tier = 0"
    assert await world.readers.rows(total) == [(3, 0)]

    await world.asker.step()

    assert await world.one("SELECT count(*) FROM hit WHERE visitor IS NOT NULL") == 2
    assert await world.readers.rows(total) == [(3, 1)]
