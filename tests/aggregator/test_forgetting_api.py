"""Erasing, retention and reclassifying, by way of the API and of the jobs."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.forgetting import store as erasing
from aggregator.forgetting.ages import store as expiring
from aggregator.forgetting.ages.retention import Retention
from aggregator.forgetting.ages.rules import DAY_MS, Ages
from aggregator.forgetting.beside import StoredRules, read_rules, rules_path
from aggregator.forgetting.erasing import EVERY_SECONDS, Eraser
from aggregator.forgetting.rules import Rule, read_rule
from aggregator.limits.store import LimitStore
from aggregator.reclassifying.reclassifier import Reclassifier
from aggregator.reconciling.reckoner import Reckoner
from aggregator.reconciling.summing import Range
from aggregator.replicas.access import Access
from aggregator.replicas.objects import Objects
from aggregator.rolling.store import roll_block
from aggregator.store import SECURE_DELETE
from milepost.errors import ConfigError
from milepost.record import RawRecord, Record
from milepost.tokens import ERASE_WRITE, HITS_READ, Principal, TokenBook, token_hash
from milepost.vocabulary import LinkId
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.test_aggregator_hashes import HOME, hashed, pull

CLICKS = "SELECT sum(human_clicks + bot_clicks) FROM rollup WHERE dimension = 0 AND tier = 0"
EVER = Range(start_ms=0, end_ms=1 << 62, region=None)
TEXT = "SELECT count(*) FROM text WHERE value = "


def eraser_of(world: World, **more: Any) -> Eraser:
    """Return what erases in *world*."""
    return Eraser(
        world.path,
        writer=world.writer,
        readers=world.readers,
        hits=world.store,
        clock=world.clock,
        **more,
    )


async def connect(
    world: World, aiohttp_client: AiohttpClient, eraser: Eraser, ages: Ages | None = None
) -> TestClient[Any, Any]:
    """Return a client of the API with every scope that it takes."""
    scopes = frozenset({ERASE_WRITE, HITS_READ})
    app = build_app(
        tokens=TokenBook([(token_hash("t"), Principal("anna", scopes))]),
        readers=world.readers,
        store=world.store,
        keyring=world.keyring,
        sources=Sources([]),
        reckoner=Reckoner(world.readers),
        clock=world.clock,
        entropy=Random(5).randbytes,
        asker=Asker(world.queries),
        forgetting=world.forgetting(eraser, ages),
    )
    client: TestClient[Any, Any] = await aiohttp_client(app, headers={"Authorization": "Bearer t"})
    return client


async def finish(eraser: Eraser) -> None:
    """Let the job work until it has nothing left to do."""
    while await eraser.step() < EVERY_SECONDS:
        pass


async def stream_of(world: World, *batches: Iterable[Record]) -> None:
    """Pull *batches* from a new edge, and roll up what fills blocks."""
    stream = (await world.add_edge()).begin()
    for batch in batches:
        stream.add(world.epoch, list(batch))
    await pull(world)
    while await world.writer.transact(lambda db: roll_block(db, 50)):
        pass


def records(count: int, **more: Any) -> list[Record]:
    """Return so many, each with a visitor and a path of its own."""
    return [a_record(number, **more) for number in range(count)]


async def test_a_link_is_erased_and_kept_out(world: World, aiohttp_client: AiohttpClient) -> None:
    """From hits, sums and texts; what comes later is not let in, and counts as pulled."""
    old = records(60, link=LinkId("old"), target="https://old.example/", agent="OldAgent/1")
    await stream_of(world, old, records(70))
    eraser = eraser_of(world)
    client = await connect(world, aiohttp_client, eraser)

    prospect = await (await client.post("/v1/erase", json={"link": "old", "dry_run": True})).json()
    rule = (await (await client.post("/v1/erase", json={"link": "old"})).json())["rule"]
    await finish(eraser)
    edge = await world.add_edge()
    edge.begin().add(world.epoch, records(5, link=LinkId("old")) + records(2))
    await pull(world)
    (told,) = (await (await client.get("/v1/erase")).json())["rules"]

    assert (prospect["hits"], prospect["counted"]) == (60, 60)
    assert (rule["link"], rule["who"], rule["removed"]) == ("old", "anna", 0)
    assert (told["removed"], told["carried_out"], told["kept"]) == (60, 1.0, True)
    assert await world.one("SELECT count(*) FROM hit") == 72
    assert await world.one(CLICKS) == 70
    for text in ("'old'", "'https://old.example/'", "'OldAgent/1'"):
        assert await world.one(TEXT + text) == 0
    assert await world.one("SELECT sum(pulled) FROM tally") == 60 + 70 + 7
    summary = await Reckoner(world.readers).reckon(EVER)
    assert summary.total.unaccounted == 0


async def test_nothing_of_it_is_left_in_the_file(world: World) -> None:
    """What was there is overwritten, once the WAL is in the database."""
    await world.writer.transact(lambda db: db.execute(SECURE_DELETE))
    old = records(60, link=LinkId("lnk-gone"), target="https://gone.example/", agent="GoneAgent/1")
    await stream_of(world, old, records(70))
    eraser = eraser_of(world)
    await eraser.add(rule_of({"link": "lnk-gone"}))
    await finish(eraser)
    # The rule itself names the link.
    await world.writer.transact(lambda db: db.execute("DELETE FROM erase_rule"))
    assert await world.writer.truncate_wal()

    held = world.path.read_bytes()
    assert b"/spring?n=69" in held
    for gone in (b"lnk-gone", b"gone.example", b"GoneAgent"):
        assert gone not in held


async def test_a_late_hash_of_an_erased_visitor_removes_its_hit(world: World) -> None:
    """Nobody could know before; the hits of others get theirs."""
    eraser = eraser_of(world)
    stream = (await world.add_edge()).begin()
    rows = [a_record(0, visitor=None), a_record(1, visitor=None)]
    stream.add(world.epoch, rows, addresses={0: HOME, 1: "198.51.100.9"})
    await pull(world)
    await eraser.add(rule_of({"visitor": hashed(world, HOME)}))

    await world.asker.step()
    await finish(eraser)

    assert await world.paths() == ["/spring?n=1"]
    assert [each.removed for each in await eraser.states()] == [1]


def rule_of(told: dict[str, Any]) -> Rule:
    """Return a rule about *told*."""
    return read_rule({**told, "at_ms": 1, "who": "me"})


async def test_a_rule_outlives_a_restore(world: World, tmp_path: Path) -> None:
    """It is found beside the database, and in the object store, and carried out again."""
    folder = tmp_path / "store"
    folder.mkdir()
    stored = StoredRules(Objects(Access(f"file://{folder}", {})))
    await stream_of(world, records(60), records(10, host="gone.example"))
    eraser = eraser_of(world, stored=stored)
    await eraser.begin()
    await eraser.add(rule_of({"host": "gone.example"}))
    await eraser.add(rule_of({"link": "nobody"}))
    await eraser.step()
    assert eraser.is_kept(rule_of({"host": "gone.example"}).target)

    await world.writer.transact(lambda db: db.execute("DELETE FROM erase_rule"))
    beside = eraser_of(world)
    await beside.begin()
    assert [each.rule.target.told for each in await beside.states()] == ["gone.example", "nobody"]

    await world.writer.transact(lambda db: db.execute("DELETE FROM erase_rule"))
    rules_path(world.path).unlink()
    from_store = eraser_of(world, stored=stored)
    await from_store.begin()
    assert await from_store.states() == []
    await finish(from_store)
    assert [each.done_ms is not None for each in await from_store.states()] == [True, True]
    assert len(read_rules(world.path)) == 2
    assert await world.one("SELECT count(*) FROM hit") == 60


async def test_a_disk_that_fails_loses_no_rule(world: World, aiohttp_client: AiohttpClient) -> None:
    """The rule holds and says that it is not kept yet; the job writes it down later."""
    in_the_way = rules_path(world.path).with_suffix(".tmp")
    in_the_way.mkdir()
    eraser = eraser_of(world)
    client = await connect(world, aiohttp_client, eraser)

    answer = await client.post("/v1/erase", json={"link": "old"})

    assert (answer.status, (await answer.json())["rule"]["kept"]) == (200, False)
    in_the_way.rmdir()
    await finish(eraser)
    assert [each.target.told for each in read_rules(world.path)] == ["old"]


async def test_an_object_store_that_is_down_holds_no_erasing_up(
    world: World, tmp_path: Path
) -> None:
    """It is said, and the rule is put there once it is back."""
    (tmp_path / "store").write_text("no folder")
    stored = StoredRules(Objects(Access(f"file://{tmp_path}/store", {})))
    await stream_of(world, records(60, host="gone.example"), records(60))
    eraser = eraser_of(world, stored=stored)
    await eraser.begin()
    rule = rule_of({"host": "gone.example"})
    await eraser.add(rule)

    for _ in range(10):
        await eraser.step()

    assert "not kept everywhere" in eraser.notes()["erase"]
    assert await world.one("SELECT count(*) FROM hit") == 60
    (tmp_path / "store").unlink()
    (tmp_path / "store").mkdir()
    await finish(eraser)
    assert eraser.is_kept(rule.target)
    assert eraser.notes() == {}
    assert [each.target for each in await stored.fetch()] == [rule.target]


async def test_what_is_set_aside_says_nothing_of_what_is_erased(world: World) -> None:
    """Of records that could not be encoded the text goes, before the rule and after; they count."""
    gone = [{"host": "gone.example"}, {"visitor": repr(b"v" * 16)}, {"host": "a.example"}]
    eraser = eraser_of(world)
    stream = (await world.add_edge()).begin()
    for turn in range(2):
        raw = [
            RawRecord(index=at, reason="no", fields={**each, "path": f"/{turn}"})
            for at, each in enumerate(gone, 1)
        ]
        stream.add(world.epoch, [a_record(turn)], raw=raw)
        await pull(world)
        if turn == 0:
            await eraser.add(rule_of({"host": "gone.example"}))
            await eraser.add(rule_of({"visitor": (b"v" * 16).hex()}))
            await finish(eraser)

    rows = await world.readers.rows("SELECT fields FROM set_aside_record ORDER BY batch, idx")
    assert sorted(row[0] for row in rows) == [
        *['{"host":"a.example","path":"/0"}', '{"host":"a.example","path":"/1"}'],
        *["{}"] * 4,
    ]


async def test_rules_that_cannot_be_read_stop_the_start(world: World) -> None:
    """What they name would be let in again."""
    rules_path(world.path).write_text("{")

    with pytest.raises(ConfigError, match="put a copy of it in its place"):
        await eraser_of(world).begin()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"link": ""},
        {"link": 1},
        {"visitor": "ab"},
        {"link": "a", "host": "b"},
        {"path": "/"},
        {"host": "x" * 1_025},
        {"host": "a", "dry_run": 1},
        [],
        "link",
    ],
)
async def test_what_names_nothing_is_refused(
    world: World, aiohttp_client: AiohttpClient, body: Any
) -> None:
    """And nothing is erased."""
    client = await connect(world, aiohttp_client, eraser_of(world))

    assert (await client.post("/v1/erase", json=body)).status == 400
    assert await world.one("SELECT count(*) FROM erase_rule") == 0


async def test_old_hits_go_and_stay_counted(world: World, aiohttp_client: AiohttpClient) -> None:
    """By kind; blocks and postings that are empty go too, and every number still adds up."""
    old = [each._replace(kind="orphan", link=None) for each in records(60)]
    await stream_of(world, old, records(60))
    await world.writer.transact(roll_block)
    world.clock.moment += 3 * DAY_MS
    client = await connect(world, aiohttp_client, eraser_of(world), Ages(days=9, orphan_days=2))

    prospect = await (await client.post("/v1/retention", json={"dry_run": True})).json()
    done = await (await client.post("/v1/retention", json={})).json()
    ages = await (await client.get("/v1/retention")).json()
    stats = await (await client.get("/v1/stats?start=2025-11-20&bots=include")).json()
    by_two = {"start": "2025-11-20", "group_by": "link,kind"}
    refused = await client.get("/v1/stats", params=by_two)
    links = await client.get("/v1/stats", params={**by_two, "kind": "link"})

    counts = {each["kind"]: each["hits"] for each in prospect["kinds"]}
    assert counts == {"prefix": 0, "link": 0, "orphan": 60}
    assert {each["kind"]: each["hits"] for each in done["kinds"]} == counts
    assert await world.one("SELECT count(*) FROM hit") == 60
    assert await world.one("SELECT count(*) FROM block") == 1
    assert stats["total"]["hits"] == 120
    assert (refused.status, links.status) == (422, 200)
    assert [each.get("rows_since") for each in ages["kinds"] if each["kind"] == "orphan"] == [
        "2025-11-21T00:00:00.000Z"
    ]
    summary = await Reckoner(world.readers).reckon(EVER)
    assert (summary.total.unaccounted, summary.total.pulled) == (0, 120)


async def test_clicks_that_grow_old_stay_counted_against_limits(world: World) -> None:
    """Also of a link that gets its limit afterwards; and none goes that is not counted."""
    limits = LimitStore(world.writer, world.readers)
    await stream_of(world, records(60, link=LinkId("early")), records(60))
    await limits.enlist([LinkId("early")])
    world.clock.moment += 9 * DAY_MS
    retention = Retention(Ages(days=2), world.writer, world.queries, world.clock, counts=True)

    before, _ = await retention.run()
    while await limits.advance() or await limits.catch_up():
        pass
    after, _ = await retention.run()
    await limits.enlist([LinkId("spring")])
    while await limits.advance() or await limits.catch_up():
        pass

    assert (before.total(), after.total()) == (0, 120)
    totals = await limits.totals([LinkId("early"), LinkId("spring")])
    assert totals == {"early": 60, "spring": 60}


async def test_what_is_killed_midway_is_finished_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is whole: after a restart the next begins where the last one ended."""
    monkeypatch.setattr(erasing, "PIECE_HITS", 7)
    monkeypatch.setattr(expiring, "PIECE_HITS", 7)
    await stream_of(world, records(60, host="gone.example"), records(60), records(20))
    await world.writer.transact(lambda db: db.execute("UPDATE agent_class SET version = 0"))
    eraser = eraser_of(world)
    await eraser.add(rule_of({"host": "gone.example"}))
    await eraser.carry_out()
    await world.restart()
    assert await world.one("SELECT count(*) FROM hit") == 133
    assert await world.one(CLICKS) == 113

    eraser = eraser_of(world)
    await eraser.begin()
    await finish(eraser)
    world.clock.moment += 9 * DAY_MS
    retention = Retention(Ages(days=2), world.writer, world.queries, world.clock)
    assert await retention.run(seconds_max=-1) == (Counter(), True)
    step = partial(
        expiring.expire,
        kind="link",
        horizon_ms=retention.horizons()["link"],
        closed_ms=0,
        counts=False,
    )
    empty = await world.writer.transact(lambda db: step(db, cursor=expiring.BEGINNING))
    assert empty.cursor is not None
    await world.writer.transact(lambda db: step(db, cursor=empty.cursor or 0))
    await world.restart()
    retention = Retention(Ages(days=2), world.writer, world.queries, world.clock)
    removed, more = await retention.run()
    done = await Reclassifier(world.writer, world.queries).run(seconds_max=0)

    assert (removed["link"], more, done.left) == (60 - 7, False, 0)
    assert await world.one("SELECT count(*) FROM hit") == 20
    assert await world.one(CLICKS) == 60
    assert await world.one("SELECT count(DISTINCT visitor) FROM past") == 20  # they have more
    assert await world.one("SELECT count(*) FROM posting") == 0
