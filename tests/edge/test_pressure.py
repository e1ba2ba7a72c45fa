"""The order of measures while the disk fills."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.clock import SystemClock
from milepost.wire import Cursor
from regional_logger import pressure as pressure_module
from regional_logger.pressure import Pressure
from regional_logger.retire import Retirement
from tests.edge.kit import Edge

MakeEdge = Callable[..., Edge]
DAY_MS = 24 * 60 * 60 * 1000


def under_pressure(edge: Edge, monkeypatch: pytest.MonkeyPatch, used: float) -> Pressure:
    """Return what watches the disk of *edge*, which seems to be so full."""
    monkeypatch.setattr(pressure_module, "used_ratio", lambda _folder: used)
    return Pressure(
        edge.folder,
        journal=edge.journal,
        retirement=Retirement(edge.shelf, SystemClock(), DAY_MS),
        clock=SystemClock(),
        high_ratio=0.8,
    )


async def acknowledge_all(edge: Edge) -> int:
    """Acknowledge every closed stream; return how many streams there are."""
    heads = (await edge.pull()).streams
    await edge.pull(
        acknowledged={head.id: Cursor(head.last_seq, head.last_chain) for head in heads}
    )
    return len(heads)


async def test_a_full_disk_frees_what_is_safe_elsewhere_and_nothing_more(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the open stream is closed; acknowledged, it goes before its time."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    done = edge.offer()
    assert done
    await done
    watching = under_pressure(edge, monkeypatch, 0.9)

    await watching.step()
    for _ in range(2):
        done = edge.offer()
        assert done
        await done
    assert await acknowledge_all(edge) == 2, "the open stream was closed and another begun"
    await watching.step()

    assert await acknowledge_all(edge) == 1


async def test_with_room_nothing_goes_early(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is acknowledged stays for its time."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    await edge.journal.close()
    await acknowledge_all(edge)

    await under_pressure(edge, monkeypatch, 0.5).step()

    assert await acknowledge_all(edge) == 1


async def test_staging_of_closed_streams_goes(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the stream being written stays."""
    edge = make_edge()
    await edge.journal.start()
    (head,) = (await edge.pull()).streams
    kept = staged(edge.folder, head.id.hex())
    dropped = staged(edge.folder, "00" * 16)

    await under_pressure(edge, monkeypatch, 0.9).step()

    assert is_there(kept)
    assert not is_there(dropped)


def staged(folder: Path, stream: str) -> Path:
    """Leave something staged for *stream*."""
    path = folder / f".{stream}.db-litestream" / "ltx"
    path.mkdir(parents=True)
    return path


def is_there(path: Path) -> bool:
    """Tell whether *path* exists."""
    return path.exists()
