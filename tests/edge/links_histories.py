"""Random histories of a registry and its edges, told as lists of small steps.

Links are made, changed and deleted, one by one, in bulk and by grants; changes are
forgotten; the feed is cut at any byte, kept back, or leads nowhere; edges are started
again, lose their replica or find an older one; the registry is started again, and
finds an older database.  All of it is real, over sockets; what judges is `Model`.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from link_registry.grants.ending import Ender
from link_registry.grants.store import GrantStore
from milepost.vocabulary import Millis
from tests.edge.links_histories_model import PATIENCE_SECONDS, Model, Region, newest
from tests.edge.links_histories_office import Office
from tests.edge.links_wire import Wire
from tests.edge.links_world import OTHER
from tests.link_registry.registry_world import GRANTER

Step = tuple[str, int]

REGIONS = 3
MINUTE_MS = 60_000
ROOM = (1_000_000, 1_500, 0)  # bytes for links in memory: for all, for two or three, for none
HOSTS = ("*", "one.example", "two.example:8080")
PATHS = ("/a", "/a+", "/b", "/b/c", "/b/*", "/b/c/*", "/d/*", "/d/e", "/*")
ASKED_HOSTS = ("one.example", "two.example:8080", "two.example", "none.example")
ASKED_PATHS = ("/a", "/a+", "/b", "/b/c", "/b/c/d", "/b/x", "/d/e", "/d/e/f", "/x")
RULES: list[list[dict[str, Any]]] = [
    [],
    [{"when": {"country": ["DE"]}, "destination": "https://example.org/de"}],
]


@dataclass
class Limits:
    """How small everything is, so that little is enough to reach a limit."""

    behind_max: int = 12
    part_links: int = 2
    page_changes: int = 3
    links_a_write: int = 3


LIMITS = Limits()


class History:
    """One registry and its regions, and the steps that can happen to them."""

    def __init__(self, folder: Path, stack: AsyncExitStack, patience: float) -> None:
        self.model = Model()
        self._folder = folder
        self._stack = stack
        self._patience = patience
        self._office = Office(folder / "registry", self.model)
        self._regions: list[Region] = []
        self._grants = 0

    async def begin(self) -> None:
        """Start everything."""
        self._stack.push_async_callback(self._office.stop)
        await self._office.start()
        for number in range(REGIONS):
            wire = await self._stack.enter_async_context(Wire(lambda: self._office.port).running())
            region = Region(self._folder / f"r{number}", wire, ROOM[number])
            self._stack.push_async_callback(region.stop)
            self._regions.append(region)
            await region.start()

    async def take(self, step: Step) -> None:
        """Let one thing happen, then compare."""
        name, number = step
        await STEPS[name](self, number)
        await asyncio.sleep(number % 4 * 0.002)
        await self.check()

    async def check(self) -> None:
        """Have each replica be some state that the registry had, whole."""
        if self._office.registry is not None:
            await self.model.note(self._office.registry)
        for region in self._regions:
            place, rows = region.held()
            if (
                place is not None
                and place not in self.model.states
                and self._office.registry is not None
            ):
                await self.model.note(self._office.registry)
            states = self.model.states.get(place, []) if place else [frozenset()]
            assert rows in states, "a replica is no state that the registry ever had"

    async def heal(self) -> None:
        """Let all go well: every replica becomes the registry's table, and memory knows it."""
        if self._office.registry is None:
            await self._office.start()
        for region in self._regions:
            region.wire.mend()
            if region.edge is None:
                await region.start()
        registry = self._office.registry
        assert registry is not None
        await self._all_caught_up()
        table = await self.model.note(registry)
        place = await newest(registry)
        for region in self._regions:
            assert region.held() == (place, table), "a replica is not the registry's table"
            await region.agree(lambda: list(product(ASKED_HOSTS, ASKED_PATHS)))

    async def _all_caught_up(self) -> None:
        """Wait for every edge; one of them may be the reason for another history."""
        registry = self._office.registry
        for region in self._regions * 2:
            assert registry is not None
            await region.caught_up(registry, self._patience)

    def _region(self, number: int) -> Region:
        return self._regions[number % REGIONS]

    async def _call(self, method: str, path: str, body: Any = None, **more: str) -> dict[str, Any]:
        """Ask the registry; what it refuses has not happened."""
        if self._office.registry is None:
            return {}
        answer = await self._office.registry.call(method, path, body, **more)
        assert answer.status < 500, await answer.text()
        return await answer.json() if answer.status in (200, 201) else {}

    async def _some_id(self, chance: Random) -> str:
        listed = await self._call("GET", "/v1/links?limit=1000")
        ids: list[str] = [link["id"] for link in listed.get("links", [])]
        return chance.choice(ids or ["none"])

    async def create(self, number: int) -> None:
        """Make a link."""
        await self._call("POST", "/v1/links", link_fields(Random(number)))

    async def update(self, number: int) -> None:
        """Change a link, maybe to another place."""
        chance = Random(number)
        fields = link_fields(chance)
        kept = chance.sample(sorted(fields), chance.randint(1, len(fields)))
        change = {name: fields[name] for name in kept}
        await self._call("PATCH", f"/v1/links/{await self._some_id(chance)}", change)

    async def delete(self, number: int) -> None:
        """Take a link away."""
        await self._call("DELETE", f"/v1/links/{await self._some_id(Random(number))}")

    async def bulk(self, number: int) -> None:
        """Change many links in one transaction."""
        chance = Random(number)
        items = []
        for _ in range(chance.randint(1, 8)):
            action = chance.choice(("create", "upsert", "upsert", "delete"))
            fields = link_fields(chance)
            link = fields if action != "delete" else {n: fields[n] for n in ("host", "path")}
            items.append({"action": action, "link": link})
        mode = chance.choice(("atomic", "best-effort"))
        await self._call("POST", "/v1/links/bulk", {"items": items, "mode": mode})

    async def grant(self, number: int) -> None:
        """Grant somebody a link for a minute or two."""
        self._grants += 1
        wish = {"owner": f"o{self._grants}", "duration_minutes": 1 + number % 2,
                "destination": "https://example.org/granted", "slug": f"g{number % 3}"}  # fmt: skip
        await self._call("POST", "/v1/grants", wish, token=GRANTER)

    async def wait(self, number: int) -> None:
        """Let time pass; grants that have expired end."""
        registry = self._office.registry
        if registry is not None:
            registry.clock.at = Millis(registry.clock.at + (1 + number % 2) * MINUTE_MS)
            await Ender(GrantStore(registry.store), registry.clock).step()

    async def prune(self, number: int) -> None:
        """Forget changes, as soon as no edge may resume from them."""
        del number
        registry = self._office.registry
        if registry is not None:
            now = Millis(registry.clock.now() + 1)
            kept = 2 * LIMITS.behind_max
            while await registry.store.prune(now, newest=kept, at_once=100):
                pass

    async def look(self, number: int) -> None:
        """Have the registry keep its mark true."""
        del number
        if self._office.registry is not None:
            await self._office.registry.store.fence.look()

    async def cut(self, number: int) -> None:
        """End a connection after so many bytes, and maybe the next ones as well."""
        chance = Random(number)
        each = chance.choice((None, chance.randint(1, 1_500)))
        self._region(number).wire.cut_after(chance.randint(1, 900), each=each)

    async def hang_up(self, number: int) -> None:
        """End a connection there and then."""
        self._region(number).wire.hang_up()

    async def hold(self, number: int) -> None:
        """Keep an answer back."""
        self._region(number).wire.hold()

    async def trickle(self, number: int) -> None:
        """Let an answer through by a few bytes at a time."""
        self._region(number).wire.trickle = (1 + number % 40, 0.001)

    async def part(self, number: int) -> None:
        """Cut an edge off."""
        self._region(number).wire.part()

    async def mend(self, number: int) -> None:
        """Have an edge's connection be good again."""
        self._region(number).wire.mend()

    async def restart_edge(self, number: int) -> None:
        """Start an edge again; its replica is kept."""
        await self._region(number).start()

    async def copy_replica(self, number: int) -> None:
        """Copy a replica, for later."""
        self._region(number).copy_to(self._copy(number))

    async def roll_back_replica(self, number: int) -> None:
        """Put an older replica in the place of an edge's, its own one or that of another."""
        region, copy = self._region(number), self._copy(number // REGIONS)
        if copy.exists():
            await region.stop()
            region.lose()
            shutil.copy(copy, region.path)
            await region.start()

    def _copy(self, number: int) -> Path:
        return self._folder / f"replica-{number % REGIONS}.db"

    async def lose_replica(self, number: int) -> None:
        """Delete a replica."""
        region = self._region(number)
        await region.stop()
        region.lose()
        await region.start()

    async def pretend(self, number: int) -> None:
        """Have an edge ask from the future, or from another history, until it knows better."""
        registry, region = self._office.registry, self._region(number)
        if registry is None:
            return
        await region.stop()
        region.pretend(*((None, 1_000) if number % 2 else (OTHER, 0)))
        region.wire.mend()
        await region.start()
        await region.caught_up(registry, self._patience)

    async def restart(self, number: int) -> None:
        """Start the registry again, or have it stay away."""
        if number % 5 == 0:
            await self._office.stop()
        else:
            await self._office.start()

    async def back_up(self, number: int) -> None:
        """Copy the registry's database."""
        del number
        self._office.back_up()

    async def restore(self, number: int) -> None:
        """Restore the registry from a copy; maybe no edge hears of it for a while."""
        self._part_some(number)
        how = "without a mark" if number % 4 < 2 else "beside its mark"
        await self._office.put_back(number // 4, how=how)

    async def set_back(self, number: int) -> None:
        """Set the registry's whole disk back; maybe no edge hears of that either."""
        self._part_some(number)
        await self._office.put_back(number // 2, how="with its mark")

    def _part_some(self, number: int) -> None:
        for region in self._regions if number % 2 else ():
            region.wire.part()


def link_fields(chance: Random) -> dict[str, Any]:
    """Return what somebody says of a link."""
    pattern = chance.choice(PATHS)
    return {
        "host": chance.choice(HOSTS),
        "path": pattern,
        "destination": f"https://example.org/{chance.randint(0, 999)}",
        "status": chance.choice((301, 302, 307, 308)),
        "enabled": chance.random() < 0.8,
        "pass_query": chance.random() < 0.5,
        "expires_ms": chance.choice((None, None, 5_000, 4_000_000_000_000)),
        "rules": chance.choice(RULES),
    }


STEPS: Mapping[str, Callable[[History, int], Awaitable[None]]] = {
    "create": History.create,
    "update": History.update,
    "delete": History.delete,
    "bulk": History.bulk,
    "grant": History.grant,
    "wait": History.wait,
    "prune": History.prune,
    "look": History.look,
    "cut": History.cut,
    "hang up": History.hang_up,
    "hold": History.hold,
    "trickle": History.trickle,
    "part": History.part,
    "mend": History.mend,
    "restart edge": History.restart_edge,
    "copy replica": History.copy_replica,
    "roll back replica": History.roll_back_replica,
    "lose replica": History.lose_replica,
    "pretend": History.pretend,
    "restart": History.restart,
    "back up": History.back_up,
    "restore": History.restore,
    "set back": History.set_back,
}
# Most of the time links change and arrive, or there would be nothing for the rest to spoil.
OFTEN = ("create", "create", "update", "update", "delete", "bulk", "mend", "mend")
NAMES = (*OFTEN, *OFTEN, *STEPS, "back up", "restore", "set back")


async def live_through(
    folder: Path, steps: list[Step], *, patience: float = PATIENCE_SECONDS
) -> None:
    """Let *steps* happen in a world of their own, then heal it."""
    async with AsyncExitStack() as stack:
        history = History(folder, stack, patience)
        await history.begin()
        for step in steps:
            await history.take(step)
        await history.heal()
