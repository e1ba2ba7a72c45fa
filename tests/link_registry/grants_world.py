"""What the tests of grants share: a backend that misbehaves, and the jobs beside a registry."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from link_registry.grants.backend import Backend, Target
from link_registry.grants.cleaning import Cleaner
from link_registry.grants.ending import Ender
from link_registry.grants.store import GrantStore
from link_registry.grants.turns import CALLS_MAX
from milepost.config import Secret
from milepost.schedule import Schedule
from milepost.vocabulary import Millis
from tests.link_registry.registry_world import DESTINATION, GRANTER, Registry

BACKEND_TOKEN = "backend-token"
MINUTE = 60_000
HASTE = 0.01  # how long a second lasts


def ok(_name: str) -> bytes:
    """Answer as a good backend does."""
    return b"HTTP/1.1 204 No Content\r\n\r\n"


def twice(_name: str) -> bytes:
    """Answer as if there had been another question."""
    return 2 * b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def broken(_name: str) -> bytes:
    """Answer that something is wrong."""
    return b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


def garbage(_name: str) -> bytes:
    """Answer what is no HTTP."""
    return b"\x00\xff nonsense\r\n\r\n"


def hang_up(_name: str) -> bytes:
    """Answer nothing."""
    return b""


def hang(_name: str) -> None:
    """Say nothing, ever."""


def endless(_name: str) -> bytes:
    """Begin an answer that never ends."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 100_000


class FakeBackend:
    """A server on a socket that answers each id as it was told to, and notes who came."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()  # by path segment, as it came
        self.headers: list[str] = []
        self.answer_of: Callable[[str], Callable[[str], bytes | None]] = lambda _name: ok
        self.together_max = 0
        self._together = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen; lend the address."""
        tasks: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._together += 1
        self.together_max = max(self.together_max, self._together)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:  # a connection that is kept gets more than one answer
                    await self._answer(reader, writer)
        finally:
            self._together -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers.append(head)
        method, path, _version = head.split("\r\n")[0].split(" ")
        assert method == "POST"
        name = path.removeprefix("/api/delete/")
        self.reached[name] += 1
        answer = self.answer_of(name)(name)
        if answer is None:
            await asyncio.Event().wait()
        if not answer:
            raise ConnectionResetError
        writer.write(answer)
        await writer.drain()


class HastyClock:
    """A clock whose seconds are short; its moment moves when it is told to."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.slept: list[float] = []

    def now(self) -> Millis:
        """Return the moment at which the registry stands."""
        return self._registry.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Wait a little."""
        self.slept.append(seconds)
        await asyncio.sleep(seconds * HASTE)


def advance(registry: Registry, minutes: float) -> None:
    """Let time pass."""
    registry.clock.at = Millis(registry.clock.at + round(minutes * MINUTE))


@contextlib.asynccontextmanager
async def jobs(
    registry: Registry, url: str, *, try_seconds_max: float = 0.2, token: str = BACKEND_TOKEN
) -> AsyncIterator[HastyClock]:
    """End grants and clean up after them meanwhile, through the backend at *url*."""
    clock, store = HastyClock(registry), GrantStore(registry.store)
    target = Target(url, Secret(token), allow_private=True)
    async with Backend.connect(target, try_seconds_max=try_seconds_max) as backend:
        cleaner = Cleaner(store, backend, clock, bytes)
        schedule = Schedule(clock)
        schedule.add("grants", Ender(store, clock).step)
        schedule.add("cleanups", cleaner.look)
        for number in range(CALLS_MAX):
            schedule.add(f"cleanup-{number}", cleaner.call)
        task = asyncio.create_task(schedule.run())
        try:
            yield clock
        finally:
            task.cancel()
            [ended] = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended


def wish(owner: str = "ada", minutes: int = 5, **fields: Any) -> dict[str, Any]:
    """Return the body that asks for a grant."""
    body = {"owner": owner, "duration_minutes": minutes, "destination": DESTINATION}
    return {name: value for name, value in (body | fields).items() if value is not None}


async def granted(registry: Registry, owner: str = "ada", **fields: Any) -> dict[str, Any]:
    """Make a grant and return it."""
    token = fields.pop("token", GRANTER)
    answer = await registry.call("POST", "/v1/grants", wish(owner, **fields), token=token)
    told = await answer.json()
    assert answer.status == 201, told
    grant: dict[str, Any] = told["grant"]
    return grant


async def listed(registry: Registry, query: str = "") -> list[dict[str, Any]]:
    """Return the grants that there are."""
    answer = await registry.call("GET", f"/v1/grants{query}", token=GRANTER)
    told = await answer.json()
    assert answer.status == 200, told
    found: list[dict[str, Any]] = told["grants"]
    return found


async def until_none(registry: Registry, query: str = "", seconds: float = 20.0) -> None:
    """Return once no grant is left that *query* asks for."""
    async with asyncio.timeout(seconds):
        while await listed(registry, query):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
