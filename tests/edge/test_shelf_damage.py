"""Files in the log's folder that are no streams, or no longer whole."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from prometheus_client import REGISTRY

from milepost import sqlite
from milepost.batch import Batch, first_chain
from milepost.schema import load_schema
from milepost.wire import PullAnswer
from tests.edge.kit import Edge

MakeEdge = Callable[..., Edge]


async def two_streams(make_edge: MakeEdge, folder: Path) -> tuple[Path, list[Batch], list[Batch]]:
    """Leave one stream of a dead life, all of it in its main file; return it, and what is in each.

    The second stream belongs to a life that is over too.
    """
    found: list[list[Batch]] = []
    for paths in (["/a", "/b", "/c"], ["/good"]):
        edge = make_edge()
        edge.learn_keys()
        await edge.journal.start()
        for words in paths:
            done = edge.offer(words * 100)
            assert done is not None
            await done
        await edge.stop()
        (stream,) = {each.header.stream for each in (await edge.pull()).batches} - {
            batch.header.stream for batches in found for batch in batches
        }
        answer = await edge.pull()
        found.append([each for each in answer.batches if each.header.stream == stream])
        await edge.shelf.close()
    path = folder / f"{found[0][0].header.stream.hex()}.db"
    connection = sqlite.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path, found[0], found[1]


async def pulled(make_edge: MakeEdge) -> PullAnswer:
    """Return what a new life hands over."""
    edge = make_edge()
    answer = await edge.pull()
    answer.to_json()  # what is told can also be written
    await edge.shelf.close()
    return answer


def of(answer: PullAnswer, batches: list[Batch]) -> list[Batch]:
    """Return the batches of the same stream in *answer*."""
    return [each for each in answer.batches if each.header.stream == batches[0].header.stream]


async def test_a_flipped_bit_in_a_batch_is_handed_over_as_it_is(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """Whoever counts sees by the chain that it is damaged, and that what follows is not."""
    path, damaged, good = await two_streams(make_edge, tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(damaged[1].records) + 7
    content[at] ^= 0x10
    path.write_bytes(content)

    answer = await pulled(make_edge)
    first, second, third = of(answer, damaged)

    assert [first, third] == damaged[::2]
    assert not second.follows(first.chain)
    assert third.follows(second.chain)
    assert of(answer, good) == good
    assert answer.unreadable == ()


async def test_a_row_that_is_no_batch_ends_that_file_and_no_other(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """What stands before it is handed over; it and what follows never are."""
    path, damaged, good = await two_streams(make_edge, tmp_path)
    connection = sqlite.connect(path)
    connection.execute("UPDATE batch SET epoch = -1 WHERE seq = 2")
    connection.close()

    answer = await pulled(make_edge)

    assert of(answer, damaged) == damaged[:1]
    assert of(answer, good) == good
    assert answer.unreadable == (path.name,)


async def test_a_lost_page_hides_nothing_before_it(make_edge: MakeEdge) -> None:
    """The stream is announced to its end, and what can be read in order is handed over."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    for number in range(60):
        done = edge.offer(f"/{number}")
        assert done is not None
        await done
    await edge.stop()
    written = (await edge.pull()).batches
    await edge.shelf.close()
    path = edge.shelf.path_of(written[0].header.stream)
    connection = sqlite.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    page = content.index(written[30].records) // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)

    answer = await pulled(make_edge)

    (head,) = answer.streams
    assert (head.last_seq, head.last_chain) == (len(written), written[-1].chain)
    assert 0 < head.records < 60
    assert 0 < len(answer.batches) < 30
    assert answer.batches == written[: len(answer.batches)]
    assert answer.unreadable == (path.name,)


def is_written(batch: Batch, written: list[Batch]) -> bool:
    """Tell whether *batch* is as it was written, or can be seen not to be."""
    seq = batch.header.seq
    before = written[seq - 2].chain if seq > 1 else first_chain(batch.header.stream)
    return batch == written[seq - 1] or not batch.follows(before)


@pytest.mark.parametrize("size", [1, 99, 100, 4_096, 8_192])
async def test_a_file_that_was_cut_off_is_named_and_harms_nobody(
    make_edge: MakeEdge, tmp_path: Path, size: int
) -> None:
    """Wherever it ends, the other flows."""
    path, damaged, good = await two_streams(make_edge, tmp_path)
    path.write_bytes(path.read_bytes()[:size])

    answer = await pulled(make_edge)

    assert answer.unreadable == (path.name,)
    assert of(answer, good) == good
    assert of(answer, damaged) == damaged[: len(of(answer, damaged))]


async def test_wherever_a_bit_flips_nothing_is_invented(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """Whatever the file has become, what is handed over was written or is seen to be damaged."""
    path, damaged, good = await two_streams(make_edge, tmp_path)
    whole = path.read_bytes()
    chance = Random(7)
    for _ in range(40):
        content = bytearray(whole)
        at = chance.randrange(len(content))
        content[at] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

        answer = await pulled(make_edge)

        assert of(answer, good) == good, at
        assert all(is_written(each, damaged) for each in of(answer, damaged)), at
        assert len(of(answer, damaged)) == 3 or answer.unreadable == (path.name,), at


@pytest.mark.parametrize("application_id", [0, load_schema("stream").application_id])
async def test_what_this_program_cannot_know_is_named(
    make_edge: MakeEdge, tmp_path: Path, application_id: int
) -> None:
    """A stream from the future, or somebody else's database: not opened, not touched."""
    path, damaged, good = await two_streams(make_edge, tmp_path)
    connection = sqlite.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute(f"PRAGMA application_id={application_id}")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()

    answer = await pulled(make_edge)

    assert answer.unreadable == (path.name,)
    assert of(answer, good) == good
    assert of(answer, damaged) == []
    assert path.read_bytes() == before


async def test_a_stream_beside_itself_is_no_second_stream(
    make_edge: MakeEdge, tmp_path: Path
) -> None:
    """A copy under another name is named; the original goes on."""
    path, first, good = await two_streams(make_edge, tmp_path)
    (tmp_path / "copy.db").write_bytes(path.read_bytes())

    answer = await pulled(make_edge)

    assert answer.unreadable == ("copy.db",)
    assert (of(answer, first), of(answer, good)) == (first, good)
    assert len(answer.streams) == 2


async def test_what_cannot_be_read_is_a_metric(make_edge: MakeEdge, tmp_path: Path) -> None:
    """An operator hears of it without looking; a file that is gone counts no longer."""
    path, _, _ = await two_streams(make_edge, tmp_path)
    (tmp_path / "nonsense.db").write_bytes(b"nonsense")
    connection = sqlite.connect(path)
    connection.execute("UPDATE batch SET epoch = -1 WHERE seq = 1")
    connection.close()
    edge = make_edge()

    await edge.pull()
    await edge.shelf.contents()
    both = REGISTRY.get_sample_value("milepost_streams_unreadable")
    await edge.shelf.forget(path)
    path.unlink()
    (tmp_path / "nonsense.db").unlink()
    await edge.shelf.contents()

    assert both == 2
    assert REGISTRY.get_sample_value("milepost_streams_unreadable") == 0
