"""Random lives of grants, held against a model of a few lines."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from link_registry.grants.store import GrantStore
from tests.link_registry.grants_world import MINUTE, advance, granted, listed, wish
from tests.link_registry.registry_world import GRANTER, Registry, running_registry

OWNERS, IDS = ("ada", "bob"), ("x", "y")
MANY = 1_000


@dataclass
class Known:
    """What the model knows of one grant."""

    owner: str
    exclusive: bool
    link: str
    path: str
    ends: int
    left: set[str]
    ended: bool = False


@dataclass
class Model:
    """All grants that there should be; and what was cleaned up, and was ever to be."""

    grants: dict[str, Known] = field(default_factory=dict)

    def settle(self, now: int) -> None:
        """End what is over; forget what is clean."""
        for each in self.grants.values():
            each.ended = each.ended or each.ends <= now
        gone = [name for name, each in self.grants.items() if each.ended and not each.left]
        for name in gone:
            del self.grants[name]

    def active(self, now: int) -> dict[str, Known]:
        """Return the grants that count."""
        return {n: g for n, g in self.grants.items() if not g.ended and g.ends > now}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(OWNERS), st.booleans(), st.integers(1, 4)),
        st.tuples(st.just("pass"), st.integers(1, 3)),
        st.tuples(st.just("extend"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("run")),
        st.tuples(st.just("clean"), st.integers(0, 5), st.booleans()),
    ),
    max_size=25,
)


class Play:
    """Takes each step in the registry and in the model."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.store = GrantStore(registry.store)
        self.model = Model()

    @property
    def now(self) -> int:
        """Return the moment."""
        return self.registry.clock.at

    async def create(self, owner: str, exclusive: bool, minutes: int) -> None:  # noqa: FBT001
        """Make a grant, which is refused exactly when the owner has an exclusive one."""
        held = [n for n, g in self.model.active(self.now).items() if g.owner == owner]
        held = [name for name in held if self.model.grants[name].exclusive]
        body: dict[str, Any] = {"exclusive": exclusive, "cleanup_ids": list(IDS)[: minutes % 3]}
        if exclusive and held:
            asked = wish(owner, minutes, **body)
            answer = await self.registry.call("POST", "/v1/grants", asked, token=GRANTER)
            assert answer.status == 409
            assert held[0] in (await answer.json())["detail"]
            return
        made = await granted(self.registry, owner, minutes=minutes, **body)
        self.model.grants[made["id"]] = Known(
            owner, exclusive, made["link"], made["path"],
            self.now + minutes * MINUTE, set(body["cleanup_ids"]),
        )  # fmt: skip

    async def extend(self, number: int, minutes: int) -> None:
        """Put the end of one off, unless it has come."""
        name, known = self._one(number)
        if known is None:
            return
        path, body = f"/v1/grants/{name}/extend", {"minutes": minutes}
        answer = await self.registry.call("POST", path, body, token=GRANTER)
        alive = name in self.model.active(self.now)
        assert answer.status in ({200} if alive else {404, 409})
        if alive:
            known.ends += minutes * MINUTE

    async def end(self, number: int) -> None:
        """End one by hand."""
        name, known = self._one(number)
        if known is not None:
            path = f"/v1/grants/{name}/end"
            answer = await self.registry.call("POST", path, token=GRANTER)
            assert answer.status in {200, 404}
            known.ended = True

    async def run(self) -> None:
        """Have the schedule end what is over."""
        await self.store.end_expired(self.registry.clock.at, MANY)

    async def clean(self, number: int, fine: bool) -> None:  # noqa: FBT001
        """Settle one cleanup id that is due."""
        found = [
            each
            for slow in (False, True)
            for each in await self.store.due(
                self.registry.clock.at, slow=slow, of_each=MANY, limit=MANY
            )
        ]
        if not found:
            return
        due = found[number % len(found)]
        known = self.model.grants[due.grant]
        assert known.ended or known.ends <= self.now
        assert due.id in known.left
        if fine:
            await self.store.done(due, self.registry.clock.at)
            known.left.discard(due.id)
        else:
            await self.store.failed(due, "why", self.registry.clock.at)

    def _one(self, number: int) -> tuple[str, Known | None]:
        names = sorted(self.model.grants)
        name = names[number % len(names)] if names else ""
        return name, self.model.grants.get(name)

    async def compare(self) -> None:
        """Find the same grants and links in both, once the schedule has run."""
        await self.run()
        self.model.settle(self.now)
        found = {each["id"]: each for each in await listed(self.registry)}
        assert set(found) == set(self.model.grants)
        for name, known in self.model.grants.items():
            one = found[name]
            assert one["state"] == ("cleaning" if known.ended else "active")
            assert set(one["cleanup_ids"]) - set(one["cleaned"]) == known.left
            assert one["ends_ms"] == known.ends
        links = {link.id: link.expires_ms async for _, part in self.registry.store.parts(500)
                 for link in part}  # fmt: skip
        active = self.model.active(self.now).values()
        assert links == {known.link: known.ends for known in active}


@settings(max_examples=12)
@given(steps)
def test_every_life_goes_as_the_model_says(taken: list[tuple[Any, ...]]) -> None:
    """Made, put off, ended by hand or by time, cleaned up in any order: nothing is forgotten."""

    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with running_registry(Path(folder)) as registry:
                one = Play(registry)
                for name, *values in taken:
                    if name == "pass":
                        advance(registry, *values)
                        continue
                    await getattr(one, name)(*values)
                await one.compare()

    asyncio.run(play())
