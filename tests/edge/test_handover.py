"""Handing over: cursors, forks, fences, files in the way."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost import sqlite
from milepost.database import open_database
from milepost.errors import ConflictError, UnavailableError
from milepost.vocabulary import Chain, Millis, Seq, StreamId
from milepost.wire import Cursor
from regional_logger.handover import PULLS_MAX
from regional_logger.retire import Retirement, remove_stillborn
from tests.edge.kit import NOON, Edge

MakeEdge = Callable[..., Edge]


async def an_edge_with(make_edge: MakeEdge, records: int) -> Edge:
    """Return a running edge with so many batches of one record."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    for number in range(records):
        done = edge.offer(f"/{number}")
        assert done is not None
        await done
    return edge


async def test_what_follows_a_cursor_and_no_more(make_edge: MakeEdge) -> None:
    """Asking twice gives the same; asking from the end gives nothing."""
    edge = await an_edge_with(make_edge, 3)
    first, second, third = (await edge.pull()).batches
    stream = first.header.stream

    after_first = await edge.pull(cursors={stream: Cursor(Seq(1), first.chain)})
    again = await edge.pull(cursors={stream: Cursor(Seq(1), first.chain)})
    after_all = await edge.pull(cursors={stream: Cursor(Seq(3), third.chain)})

    assert after_first.batches == (second, third) == again.batches
    assert after_all.batches == ()


async def test_an_answer_is_bounded_but_never_stuck(make_edge: MakeEdge) -> None:
    """One batch at least, and `more` says that there is more."""
    edge = await an_edge_with(make_edge, 3)

    answer = await edge.pull(limit_bytes=1)

    assert len(answer.batches) == 1
    assert answer.more


async def test_many_old_streams_do_not_starve_the_one_being_written(make_edge: MakeEdge) -> None:
    """While a backlog is handed over, clicks of this moment come along, and so do the old ones."""
    for _ in range(20):
        await (await an_edge_with(make_edge, 8)).journal.close()
    edge = await an_edge_with(make_edge, 8)
    cursors: dict[StreamId, Cursor] = {}
    size = sum(len(batch.records) for batch in (await edge.pull(limit_bytes=1 << 20)).batches)
    fresh = old = 0
    for _ in range(8):
        answer = await edge.pull(cursors=cursors, limit_bytes=size // 21)
        live = {head.id for head in answer.streams if head.open}
        for batch in answer.batches:
            cursors[batch.header.stream] = Cursor(batch.header.seq, batch.chain)
        fresh += sum(batch.header.stream in live for batch in answer.batches)
        old += sum(batch.header.stream not in live for batch in answer.batches)

    assert fresh == 8
    assert old > 8


async def test_a_cursor_of_another_history_is_a_fork(make_edge: MakeEdge) -> None:
    """Reported, whether its place exists here or not."""
    edge = await an_edge_with(make_edge, 2)
    stream = (await edge.pull()).streams[0].id

    for seq in (1, 9):
        answer = await edge.pull(cursors={stream: Cursor(Seq(seq), Chain(bytes(32)))})
        assert answer.forks == (stream,)
        assert answer.batches == ()


async def test_a_meter_is_never_behind_the_batches_beside_it(make_edge: MakeEdge) -> None:
    """Although records are accepted and committed while an answer is put together."""
    edge = await an_edge_with(make_edge, 1)
    over = asyncio.Event()

    async def visit() -> None:
        while not over.is_set():
            done = edge.offer("/x")
            assert done is not None
            await done

    visiting = [asyncio.create_task(visit()) for _ in range(4)]
    answers = [await edge.pull() for _ in range(50)]
    over.set()
    await asyncio.gather(*visiting)

    for answer in answers:
        (life,) = answer.lives
        accepted = sum(row.accepted for row in life.meter)
        assert sum(batch.header.count for batch in answer.batches) <= accepted


async def test_a_file_in_the_way_is_named_and_harms_nobody(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """Whatever lies in the folder, the good streams flow."""
    edge = await an_edge_with(make_edge, 1)
    (tmp_path / "not-a-stream.db").write_bytes(b"nonsense" * 100)

    answer = await edge.pull()

    assert len(answer.batches) == 1
    assert answer.unreadable == ("not-a-stream.db",)


async def test_a_commit_wakes_who_waits(make_edge: MakeEdge) -> None:
    """A long poll answers as soon as there is something."""
    edge = await an_edge_with(make_edge, 1)
    (batch,) = (await edge.pull()).batches
    cursors = {batch.header.stream: Cursor(Seq(1), batch.chain)}
    begun = time.monotonic()

    waiting = asyncio.create_task(edge.pull(cursors=cursors, wait_ms=20_000))
    await asyncio.sleep(0.02)
    edge.offer("/news")
    answer = await waiting

    assert len(answer.batches) == 1
    assert time.monotonic() - begun < 10


async def test_an_aggregator_from_the_past_is_refused(make_edge: MakeEdge) -> None:
    """Even by the next life of the edge."""
    edge = await an_edge_with(make_edge, 1)
    await edge.pull(generation=5)

    for asked in (edge, make_edge()):
        with pytest.raises(ConflictError, match="generation 4"):
            await asked.pull(generation=4)


async def test_who_may_only_read_locks_nobody_out(make_edge: MakeEdge) -> None:
    """A generation is remembered for readers that may acknowledge, and never from the future."""
    edge = await an_edge_with(make_edge, 1)

    await edge.pull(generation=7, may_acknowledge=False)
    with pytest.raises(ConflictError, match="future"):
        await edge.pull(generation=1 << 62)

    assert len((await edge.pull(generation=5)).batches) == 1


async def test_damaged_readers_stop_pulls_but_not_the_edge(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """It must be a person who says that no older aggregator can come back."""
    (tmp_path / "readers.json").write_bytes(b"")
    edge = await an_edge_with(make_edge, 1)

    with pytest.raises(ConflictError, match=r"readers\.json is damaged"):
        await edge.pull()


async def test_a_batch_that_is_damaged_is_named_and_harms_nobody(make_edge: MakeEdge) -> None:
    """Even where SQLite itself sees nothing wrong."""
    first = await an_edge_with(make_edge, 1)
    await first.journal.close()
    (path,) = first.folder.glob("*.db")
    damaged = sqlite.connect(path)
    damaged.execute("UPDATE batch SET tally = '[[1180591620717411303424, 0, 0, 0, 1]]'")
    damaged.close()
    second = await an_edge_with(make_edge, 1)

    answer = await second.pull()

    assert [head.open for head in answer.streams if head.id == answer.batches[0].header.stream] == [
        True
    ]
    assert answer.unreadable == (path.name,)


async def test_only_so_many_pulls_at_a_time(make_edge: MakeEdge) -> None:
    """One more is told to ask again, and those that wait are answered."""
    edge = await an_edge_with(make_edge, 1)
    (batch,) = (await edge.pull()).batches
    cursors = {batch.header.stream: Cursor(Seq(1), batch.chain)}
    waiting = [
        asyncio.create_task(edge.pull(cursors=cursors, wait_ms=20_000)) for _ in range(PULLS_MAX)
    ]
    await asyncio.sleep(0.02)

    with pytest.raises(UnavailableError, match="ask again"):
        await edge.pull()
    edge.offer("/news")

    assert [len((await each).batches) for each in waiting] == [1] * PULLS_MAX


class At:
    """A clock that stands still."""

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> Millis:
        """Return the moment."""
        return Millis(self._now)

    async def sleep(self, seconds: float) -> None:
        """Wait not at all."""


def names(folder: Path) -> list[str]:
    """Return what lies in *folder*."""
    return sorted(path.name for path in folder.iterdir())


async def test_only_a_closed_stream_acknowledged_to_its_end_is_retired(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """Nothing goes by age alone, and what goes goes whole."""
    edge = await an_edge_with(make_edge, 2)
    (head,) = (await edge.pull()).streams
    end = Cursor(head.last_seq, head.last_chain)
    later = At(time.time_ns() // 1_000_000 + 10_000)
    retirement = Retirement(edge.shelf, later, keep_ms=5_000)

    await edge.pull(acknowledged={head.id: end})
    await retirement.step()
    assert edge.shelf.path_of(head.id).exists(), "it is still open"
    await edge.journal.close()
    (head,) = (await edge.pull()).streams
    await edge.pull(acknowledged={head.id: Cursor(Seq(1), Chain(bytes(32)))})
    await retirement.step()
    assert edge.shelf.path_of(head.id).exists(), "not acknowledged to its end"
    await edge.pull(acknowledged={head.id: Cursor(head.last_seq, head.last_chain)})
    await Retirement(edge.shelf, At(0), keep_ms=5_000).step()
    assert edge.shelf.path_of(head.id).exists(), "its time has not come"
    edge.end_life()
    await retirement.step()

    assert names(tmp_path) == [edge.meter.path.name, "readers.json"]


async def test_an_acknowledgement_is_of_one_end_only(make_edge: MakeEdge, tmp_path: Path) -> None:
    """A file with another history under the same name has yet to be heard of."""
    edge = await an_edge_with(make_edge, 3)
    await edge.journal.close()
    (head,) = (await edge.pull()).streams
    later = At(time.time_ns() // 1_000_000 + 10_000)
    await edge.pull(acknowledged={head.id: Cursor(head.last_seq, head.last_chain)})
    await edge.shelf.close()
    connection = sqlite.connect(edge.shelf.path_of(head.id))
    connection.execute("DELETE FROM batch WHERE seq = 3")
    connection.close()
    edge.end_life()
    other = make_edge()

    await Retirement(other.shelf, later, keep_ms=5_000).step()
    kept = other.shelf.path_of(head.id).exists()
    (head,) = (await other.pull()).streams
    await other.pull(acknowledged={head.id: Cursor(head.last_seq, head.last_chain)})
    await Retirement(other.shelf, later, keep_ms=5_000).step()

    assert kept
    assert head.last_seq == 2
    assert f"{head.id.hex()}.db" not in names(tmp_path)


async def test_a_meter_goes_when_the_last_of_it_is_known_elsewhere(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """A life without any stream is counted too: its end must have been heard."""
    edge = make_edge()
    edge.meter.accept(NOON)
    later = At(time.time_ns() // 1_000_000 + 10_000)
    retirement = Retirement(edge.shelf, later, keep_ms=5_000)
    meter = edge.meter.path.name

    await edge.pull(ended=frozenset({edge.life.id}))
    await retirement.step()
    assert meter in names(tmp_path), "it was still alive when it was acknowledged"
    edge.end_life()
    await retirement.step()
    assert meter in names(tmp_path), "nobody has heard of its end"
    await edge.pull(ended=frozenset({edge.life.id}))
    await retirement.step()

    assert names(tmp_path) == ["readers.json"]


@pytest.mark.parametrize("at", ["forget", "contents"])
async def test_an_acknowledgement_that_is_void_by_now_retires_nothing(
    make_edge: MakeEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """A restored aggregator may ask in the very moment in which files are about to go."""
    edge = await an_edge_with(make_edge, 2)
    bare = make_edge()
    await edge.journal.close()
    edge.end_life()
    bare.end_life()
    (head,) = (await edge.pull()).streams
    end = {head.id: Cursor(head.last_seq, head.last_chain)}
    await edge.pull(acknowledged=end, ended=frozenset({bare.life.id}))
    kept = {edge.shelf.path_of(head.id).name, bare.meter.path.name}
    act = getattr(edge.shelf, at)

    async def act_meanwhile(*given: Path) -> object:
        found = await act(*given)
        monkeypatch.undo()
        await edge.pull(generation=2)
        return found

    monkeypatch.setattr(edge.shelf, at, act_meanwhile)
    later = At(time.time_ns() // 1_000_000 + 10_000)
    await Retirement(edge.shelf, later, keep_ms=5_000).step()

    assert kept <= set(names(tmp_path))


async def test_a_new_generation_has_everything_acknowledged_again(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """A database that was restored may not have what the one before had made safe."""
    edge = await an_edge_with(make_edge, 1)
    await edge.journal.close()
    (head,) = (await edge.pull()).streams
    end = {head.id: Cursor(head.last_seq, head.last_chain)}
    (told,) = (await edge.pull(acknowledged=end)).streams
    assert f"{head.id.hex()}.acknowledged" in names(tmp_path)
    assert not head.acknowledged
    assert told.acknowledged

    (told,) = (await edge.pull(generation=2)).streams

    assert f"{head.id.hex()}.acknowledged" not in names(tmp_path)
    assert not told.acknowledged


async def test_what_was_never_begun_is_removed_at_start(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """A file that its process died making holds nothing; one with batches or damage stays."""
    edge = await an_edge_with(make_edge, 1)
    await edge.journal.close()
    never_begun(tmp_path)

    remove_stillborn(tmp_path)

    left = {name for name in names(tmp_path) if name.endswith((".db", "-journal"))}
    (head,) = (await edge.pull()).streams
    assert left == {f"{head.id.hex()}.db", f"{'22' * 16}.db"}
    assert len((await edge.pull()).batches) == 1


def never_begun(folder: Path) -> None:
    """Leave what a process leaves that dies while it makes a stream; and something damaged."""
    open_database(folder / f"{'00' * 16}.db", "stream").close()
    (folder / f"{'11' * 16}.db").write_bytes(b"SQLite format 3")
    (folder / f"{'11' * 16}.db-journal").write_bytes(b"x")
    (folder / f"{'22' * 16}.db").write_bytes(b"nonsense" * 200)
