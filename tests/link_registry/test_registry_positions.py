"""How far each edge is: reported, kept within bounds, and shown."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from link_registry.positions.board import FORGET_MS, MACHINES_MAX, Board, report_from
from milepost.clock import SystemClock
from milepost.errors import TooManyError
from milepost.vocabulary import Millis, Position
from regional_logger.links.reporting import PositionReporter
from tests.edge.links_world import edge
from tests.link_registry.registry_world import EDGE, READER, Registry, running_registry, until

HISTORY = "a" * 32
GOOD: dict[str, Any] = {"region": "dfw", "machine": "m1", "place": f"{HISTORY}:3"}


async def _machines(registry: Registry) -> list[dict[str, Any]]:
    answer = await registry.call("GET", "/v1/feed/positions", token=READER)
    machines: list[dict[str, Any]] = (await answer.json())["machines"]
    return machines


async def _report(registry: Registry, position: int, **fields: Any) -> int:
    body = GOOD | {"place": str(registry.store.place(Position(position)))} | fields
    answer = await registry.call("POST", "/v1/feed/positions", body, token=EDGE)
    return answer.status


async def test_a_report_is_shown(registry: Registry) -> None:
    """With how many changes it is behind, and since when the first of them is waiting."""
    for _ in range(3):
        await registry.create(f"/{registry.clock.at}")
        registry.clock.at = Millis(registry.clock.at + 1_000)
    assert await _report(registry, 1) == 204
    registry.clock.at = Millis(10_000)

    assert await _machines(registry) == [
        {
            "region": "dfw",
            "machine": "m1",
            "place": str(registry.store.place(Position(1))),
            "behind": 2,
            "behind_ms": 8_000,
            "silent_ms": 6_000,
            "heard_ms": 4_000,
        }
    ]


async def test_who_has_everything_is_not_behind(registry: Registry) -> None:
    """However long ago the last change was."""
    await registry.create("/a")
    await _report(registry, 1)
    registry.clock.at = Millis(registry.clock.at + 100_000)
    [shown] = await _machines(registry)

    assert (shown["behind"], shown["behind_ms"]) == (0, 0)


async def test_who_needs_a_snapshot_is_behind_by_no_number(registry: Registry) -> None:
    """Without links yet, or with those of another history; since it first said so."""
    for place in (None, f"{HISTORY}:3"):
        assert await _report(registry, 0, place=place) == 204
        registry.clock.at = Millis(registry.clock.at + 500)
    [shown] = await _machines(registry)

    assert (shown["behind"], shown["behind_ms"], shown["silent_ms"]) == (None, 1_000, 500)


async def test_who_has_yet_to_hear_of_a_start_is_no_stranger(tmp_path: Path) -> None:
    """Its place is one of the history before; up to the end of that it lacks nothing."""
    async with running_registry(tmp_path) as registry:
        await registry.create("/a")
        history = registry.store.fence.history
    async with running_registry(tmp_path) as registry:
        behind = []
        for position in (0, 1, 2):
            await _report(registry, 0, place=f"{history}:{position}")
            behind += [shown["behind"] for shown in await _machines(registry)]

    assert behind == [1, 0, None]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "the body"),
        (GOOD | {"region": ""}, "region"),
        (GOOD | {"region": "x" * 64}, "region"),
        (GOOD | {"machine": "a b"}, "machine"),
        (GOOD | {"machine": 7}, "machine"),
        ({"region": "dfw"}, "machine"),
        (GOOD | {"place": "nonsense"}, "place"),
        (GOOD | {"place": 7}, "place"),
        (GOOD | {"colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_with_a_report_is_named(
    registry: Registry, body: Any, field: str
) -> None:
    """And nothing of it is kept."""
    answer = await registry.call("POST", "/v1/feed/positions", body, token=EDGE)

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith(f"{field}:")
    assert await _machines(registry) == []


async def test_each_call_of_positions_wants_its_scope(registry: Registry) -> None:
    """An edge reports and does not look; a reader looks and does not report."""
    told = await registry.call("POST", "/v1/feed/positions", GOOD, token=READER)
    asked = await registry.call("GET", "/v1/feed/positions", token=EDGE)

    assert (told.status, asked.status) == (403, 403)


def test_the_board_is_bounded() -> None:
    """A further machine is refused, until one has been silent for a day."""
    board = Board()
    for n in range(MACHINES_MAX):
        board.put(report_from(GOOD | {"machine": f"m{n}"}, Millis(n)), HISTORY)
    with pytest.raises(TooManyError):
        board.put(report_from(GOOD | {"machine": "more"}, Millis(MACHINES_MAX)), HISTORY)
    board.put(report_from(GOOD | {"machine": "more"}, Millis(FORGET_MS + 5)), HISTORY)

    assert len(list(board.reports(Millis(FORGET_MS + 5)))) == MACHINES_MAX - 4


async def test_an_edge_reports_what_it_has_applied(tmp_path: Path) -> None:
    """Soon after each change, and not only when the next report is due."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        reporter = PositionReporter(
            one.follower._client, one.follower, SystemClock(), region="dfw", machine="m1"
        )
        await registry.create("/a")
        await until(lambda: one.follower.position == 1)
        async with asyncio.timeout(2):
            await reporter.report()
        [shown] = await _machines(registry)

    assert shown["place"].endswith(":1")
    assert shown["behind"] == 0
