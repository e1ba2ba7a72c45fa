"""What random histories of a registry and its edges are judged by.

`Model` knows every state that the registry ever had, by its place in the feed.
`Region` is one edge behind a wire of its own, with its replica in a folder.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import orjson

from milepost import sqlite
from milepost.links import FeedPlace, Link, link_from
from milepost.targeting.rules import text_of
from milepost.vocabulary import Position
from regional_logger.links.local import LocalLinks
from regional_logger.links.table import LinkTable
from tests.edge.links_wire import Wire
from tests.edge.links_world import Edge, edge
from tests.link_registry.registry_world import Registry

Row = tuple[str | int | None, ...]
State = frozenset[Row]

ROWS = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules FROM link
"""
PLACE = "SELECT history, position FROM feed"
MOVE = "UPDATE feed SET history = coalesce(?, history), position = position + ?"
EVERYTHING = 100_000
PATIENCE_SECONDS = 30.0


def row_of(link: Link) -> Row:
    """Return *link* as a row of a replica: every column of it."""
    return (
        *(link.id, link.host, link.path, link.destination, link.status),
        *(int(link.enabled), int(link.pass_query), link.expires_ms, text_of(link.rules)),
    )


class Model:
    """Every state that the registry has had."""

    def __init__(self) -> None:
        self.states: dict[FeedPlace, list[State]] = {}
        self.line: dict[Position, State] = {}  # those that the present one has come from
        self._history = ""
        self._rows: dict[str, Row] = {}

    async def note(self, registry: Registry) -> State:
        """Learn what has happened since, change by change; return what there is now."""
        place = await newest(registry)
        links = [link async for _, part in registry.store.parts(500) for link in part]
        table: dict[str, Row] = {link.id: row_of(link) for link in links}
        if self._history != place.history:
            self._begin(place, table)
        for change in await registry.store.changes_after(max(self.line), EVERYTHING):
            link = link_from(orjson.loads(change.rule), orjson.loads(change.rule)["id"])
            if change.action == "delete":
                del self._rows[link.id]
            else:
                self._rows[link.id] = row_of(link)
            self._remember(change.position)
        assert self._rows == table, "the feed does not tell what is in the table"
        return frozenset(table.values())

    def _begin(self, place: FeedPlace, table: dict[str, Row]) -> None:
        """Hear of a history; it goes on from what has been, or from a part of that."""
        self._history, self._rows = place.history, dict(table)
        was = self.line.get(place.position, frozenset(table.values()))
        assert was == frozenset(table.values()), "the table is not what it was at its position"
        self.line[place.position] = was
        for position, state in self.line.items():
            self.states.setdefault(FeedPlace(place.history, position), []).append(state)

    def _remember(self, position: Position) -> None:
        self.line[position] = frozenset(self._rows.values())
        place = FeedPlace(self._history, position)
        self.states.setdefault(place, []).append(self.line[position])


class Region:
    """One edge, which comes and goes; its replica stays."""

    def __init__(self, folder: Path, wire: Wire, bytes_max: int) -> None:
        self.path = folder / "replica.db"
        self.wire = wire
        self.edge: Edge | None = None
        self._folder = folder
        self._bytes_max = bytes_max
        self._stack = AsyncExitStack()
        folder.mkdir()

    async def start(self) -> None:
        """Begin with what is on disk, and follow."""
        await self.stop()
        self.edge = await self._stack.enter_async_context(
            edge(self._folder, self.wire.url, bytes_max=self._bytes_max)
        )
        await self._stack.enter_async_context(self.edge.following())

    async def stop(self) -> None:
        """End."""
        self.edge = None
        await self._stack.aclose()

    def held(self) -> tuple[FeedPlace | None, State]:
        """Return what the replica holds at this moment, and of which place."""
        return held_in(self.path)

    def copy_to(self, out: Path) -> None:
        """Copy the replica as it is at this moment."""
        if self.path.exists():
            copy_database(self.path, out)

    def lose(self) -> None:
        """Have no replica any more; the edge must not be running."""
        for path in self._folder.glob(f"{self.path.name}*"):
            path.unlink()

    def pretend(self, history: str | None, more: int) -> None:
        """Be at another place than is true; the edge must not be running."""
        if self.path.exists():
            with contextlib.closing(sqlite.connect(self.path)) as db:
                db.execute(MOVE, (history, more))

    async def caught_up(self, registry: Registry, seconds: float) -> None:
        """Return when everything has arrived; an edge that waits in vain fails.

        It may itself be the reason for another history meanwhile.
        """
        assert self.edge is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.edge.follower.place != await newest(registry):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.002)
        assert self.edge.follower.place == await newest(registry), "the edge does not catch up"

    async def agree(self, asked: Callable[[], list[tuple[str, str]]]) -> None:
        """Have memory answer as it would if it were read from the replica just now."""
        assert self.edge is not None
        table = LinkTable(b"key", self._bytes_max)
        fresh = LocalLinks(table, self.path, seconds_max=PATIENCE_SECONDS)
        try:
            await fresh.renew()
            read = Edge(self.edge.store, fresh, self.edge.follower)
            for host, path in asked():
                found = await self.edge.find(host, path), await read.find(host, path)
                assert found[0] == found[1], f"memory is not the replica at {host}{path}"
                name = host.partition(":")[0]
                assert self.edge.links.table.has_host(name) == fresh.table.has_host(name)
            assert len(self.edge.links.table) == len(fresh.table)
        finally:
            fresh.close()


def held_in(path: Path, place_query: str = PLACE) -> tuple[FeedPlace | None, State]:
    """Return which links a database holds at this moment, and of which place they are."""
    if not path.exists():
        return None, frozenset()
    with contextlib.closing(sqlite.connect_read_only(path)) as db:
        db.execute("BEGIN")
        place = db.execute(place_query).fetchone()
        rows: State = frozenset(map(tuple, db.execute(ROWS).fetchall()))
        db.execute("ROLLBACK")
    return (FeedPlace(place[0], Position(place[1])) if place else None), rows


async def newest(registry: Registry) -> FeedPlace:
    """Return the place of the newest change."""
    return registry.store.place(await registry.store.position())


def copy_database(path: Path, out: Path) -> None:
    """Copy a database that may be in use, whole."""
    out.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite.connect_read_only(path)) as db,
        contextlib.closing(sqlite.connect(out)) as copy,
    ):
        db.backup(copy)
