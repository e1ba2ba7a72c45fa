"""The journal on real files: order, durability, failures that may have happened."""

import asyncio
from collections.abc import Callable

import pytest

from milepost import sqlite
from milepost.batch import Batch, first_chain, parse_tally
from milepost.seal import address_mac_key, open_addresses, open_body, token_id
from milepost.vocabulary import StreamId
from milepost.wire import Cursor
from regional_logger import store
from regional_logger.remember import Memory
from tests.edge.kit import NOON, Edge, a_record

MakeEdge = Callable[..., Edge]


async def all_batches(edge: Edge) -> list[Batch]:
    """Return every batch on the folder."""
    return list((await edge.pull()).batches)


def opened_paths(edge: Edge, batches: list[Batch]) -> list[str]:
    """Return the paths of the records in *batches*."""
    return [
        record.path
        for batch in batches
        if batch.records
        for record in open_body(batch.header, batch.records, edge.keys.record_secret).records
    ]


async def test_an_accepted_record_is_on_disk_when_its_waiter_hears(make_edge: MakeEdge) -> None:
    """And what arrives during a commit forms the next batch."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()

    waiting = [edge.offer(f"/{number}") for number in range(50)]
    await asyncio.gather(*(done for done in waiting if done))
    batches = await all_batches(edge)

    assert sorted(opened_paths(edge, batches)) == sorted(f"/{number}" for number in range(50))
    assert len(batches) < 50


async def test_batches_are_chained_from_the_stream_id(make_edge: MakeEdge) -> None:
    """Each follows the one before, without gaps."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    for number in range(3):
        done = edge.offer(f"/{number}")
        assert done is not None
        await done

    chain = None
    for seq, batch in enumerate(await all_batches(edge), start=1):
        chain = chain or first_chain(batch.header.stream)
        assert batch.header.seq == seq
        assert batch.follows(chain)
        chain = batch.chain


async def test_the_tally_counts_every_outcome_once(make_edge: MakeEdge) -> None:
    """Recorded with the batch, the others since the batch before."""
    edge = make_edge(queue_records_max=2)
    edge.learn_keys()
    waiting = [edge.offer() for _ in range(3)]
    edge.journal.exclude(NOON)
    await edge.journal.start()
    await asyncio.gather(*(done for done in waiting if done))

    assert waiting[2] is None
    assert outcomes(await all_batches(edge)) == [2, 0, 1, 1]


async def test_without_a_budget_nobody_waits_and_every_record_is_late(make_edge: MakeEdge) -> None:
    """That is what `fast` means."""
    edge = make_edge(budget_seconds=0.0)
    edge.learn_keys()
    await edge.journal.start()

    assert [edge.offer() for _ in range(3)] == [None] * 3
    await edge.journal.close()

    assert outcomes(await all_batches(edge)) == [3, 3, 0, 0]


async def test_each_visitor_goes_when_its_own_budget_is_over(make_edge: MakeEdge) -> None:
    """Also the one that came while others waited."""
    edge = make_edge(budget_seconds=0.03)
    await edge.journal.start()  # without keys nothing is committed
    first = edge.offer()
    await asyncio.sleep(0.02)
    second = edge.offer()
    assert first
    assert second

    assert await first is False
    assert not second.done()
    assert await second is False
    edge.learn_keys()
    await asyncio.sleep(0.2)
    third = edge.offer()
    assert third
    assert await third is True
    edge.journal.exclude(NOON)
    await edge.journal.close()

    assert outcomes(await all_batches(edge)) == [3, 2, 0, 1]


def outcomes(batches: list[Batch]) -> list[int]:
    """Return how many were recorded, late, shed and excluded."""
    rows = [row for batch in batches for row in parse_tally(batch.header.tally)]
    return [sum(row[index] for row in rows) for index in range(1, 5)]


async def test_without_keys_records_wait_and_nothing_is_written_in_clear(
    make_edge: MakeEdge,
) -> None:
    """As soon as a list is there they are sealed."""
    edge = make_edge()
    await edge.journal.start()
    done = edge.offer("/patient")
    assert done is not None
    await asyncio.sleep(0.05)
    assert not done.done()

    edge.learn_keys()
    await done

    assert opened_paths(edge, await all_batches(edge)) == ["/patient"]


async def test_addresses_are_sealed_apart_with_the_edges_mac(make_edge: MakeEdge) -> None:
    """The record key does not open them, the address key does."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    done = edge.offer("/x", "203.0.113.9")
    assert done is not None
    await done
    (batch,) = await all_batches(edge)
    token = edge.origin.token.reveal()

    opened = open_addresses(
        batch.header,
        batch.addresses,
        edge.keys.address_secret,
        {token_id(token): address_mac_key(token)},
    )

    assert opened == {0: "203.0.113.9"}


@pytest.mark.parametrize("happened", [False, True], ids=["failed", "failed but happened"])
async def test_a_failed_commit_goes_into_a_new_stream_under_the_same_id(
    make_edge: MakeEdge,
    monkeypatch: pytest.MonkeyPatch,
    happened: bool,  # noqa: FBT001
) -> None:
    """Whoever counts by batch id counts each record once, and the tally too."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    real = store.append
    calls = 0

    def append(connection: sqlite.Connection, batch: Batch) -> None:
        nonlocal calls
        calls += 1
        if calls > 1 or happened:
            real(connection, batch)
        if calls == 1:
            msg = "disk I/O error"
            raise sqlite.OperationalError(msg)

    monkeypatch.setattr(store, "append", append)
    done = edge.offer("/once")
    assert done is not None
    await done
    batches = await all_batches(edge)

    assert len(batches) == (2 if happened else 1)
    assert len({batch.header.batch for batch in batches}) == 1
    assert len({batch.header.tally for batch in batches}) == 1
    assert len({batch.header.stream for batch in batches}) == len(batches)


async def test_a_stream_that_is_full_gives_way_to_the_next(make_edge: MakeEdge) -> None:
    """The old one closes, and both are handed over."""
    edge = make_edge(stream_bytes_max=1)
    edge.learn_keys()
    await edge.journal.start()
    for number in range(3):
        done = edge.offer(f"/{number}")
        assert done is not None
        await done
    await asyncio.sleep(0.05)

    answer = await edge.pull()

    assert len(answer.streams) >= 3
    assert sorted(opened_paths(edge, list(answer.batches))) == ["/0", "/1", "/2"]


async def test_no_visitor_can_fill_a_batch_beyond_what_a_box_holds(make_edge: MakeEdge) -> None:
    """The longest headers, in the characters that grow most, only make batches smaller."""
    edge = make_edge()
    edge.learn_keys()
    longest = "\x00" * 1_024
    waiting = []
    for number in range(100):
        record = a_record(f"/{number}")._replace(
            arguments="\x00" * 4_000,
            agent=longest,
            referer=longest,
            source=longest,
            language=longest,
            range=longest,
            session=longest,
            ulid=longest,
        )
        waiting.append(edge.offer_memory(Memory(record, None)))
    await edge.journal.start()

    await asyncio.gather(*(done for done in waiting if done))

    paths: list[str] = []
    cursors: dict[StreamId, Cursor] = {}
    while found := (await edge.pull(cursors=cursors)).batches:
        paths += opened_paths(edge, list(found))
        cursors[found[-1].header.stream] = Cursor(found[-1].header.seq, found[-1].chain)
    assert sorted(paths) == sorted(f"/{number}" for number in range(100))


async def test_a_start_never_appends_to_what_it_finds(make_edge: MakeEdge) -> None:
    """A new life writes a new stream; the old file keeps its bytes and is handed over."""
    first = make_edge()
    first.learn_keys()
    await first.journal.start()
    done = first.offer("/old")
    assert done is not None
    await done
    await first.journal.close()
    (old,) = first.folder.glob("*.db")
    before = old.read_bytes()

    second = make_edge()
    second.keys = first.keys
    second.learn_keys()
    await second.journal.start()
    done = second.offer("/new")
    assert done is not None
    await done
    answer = await second.pull()

    assert old.read_bytes() == before
    assert sorted(opened_paths(second, list(answer.batches))) == ["/new", "/old"]
    assert sorted(head.open for head in answer.streams) == [False, True]


async def test_closing_commits_what_was_counted(make_edge: MakeEdge) -> None:
    """Excluded visits without a record still reach the log."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    edge.journal.exclude(NOON)

    await edge.journal.close()
    (batch,) = await all_batches(edge)

    assert (batch.header.count, batch.records) == (0, b"")
    assert parse_tally(batch.header.tally)[0].excluded == 1
    assert (await edge.pull()).streams[0].last_seq == Cursor(batch.header.seq, batch.chain).seq
