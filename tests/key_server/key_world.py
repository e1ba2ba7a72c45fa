"""A key server in a folder, with a clock that moves when told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
from aiohttp.test_utils import TestClient

from key_server.api import KeyServer, key_server_app
from key_server.audit import AuditTrail
from key_server.board import Board
from key_server.copies.copier import Copier
from key_server.copies.place import FolderPlace
from key_server.issuing import Issuer, found
from key_server.periods import Period
from key_server.store import FILE, KeyStore
from key_server.wrapping import Vault
from milepost.tokens import (
    EDGE,
    KEYS_READ,
    KEYS_WRITE,
    OPEN,
    PULL,
    Principal,
    TokenBook,
    token_hash,
)
from milepost.vocabulary import Millis

START = Millis(1_763_640_000_000)  # 2025-11-20T12:00:00Z
DAY_MS = 86_400_000
MASTER_KEY = bytes(range(32))
SCOPES = {"edge": EDGE, "open": OPEN, "keys": KEYS_READ, "rotate": KEYS_WRITE, "pull": PULL}

Connect = Callable[..., Any]


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    moment: Millis = START

    def now(self) -> Millis:
        """Return the moment it stands at."""
        return self.moment

    def move(self, milliseconds: int) -> None:
        """Let time pass."""
        self.moment = Millis(self.moment + milliseconds)

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once."""
        self.move(round(seconds * 1000))


@dataclass
class Remembered:
    """Entropy that remembers what it gave, so that a test can look for it."""

    source: Random
    given: list[bytes] = field(default_factory=list)

    def __call__(self, size: int) -> bytes:
        """Return *size* seeded bytes."""
        self.given.append(self.source.randbytes(size))
        return self.given[-1]


@dataclass
class World:
    """All that stands around one key server."""

    folder: Path
    clock: MovableClock = field(default_factory=MovableClock)
    entropy: Remembered = field(default_factory=lambda: Remembered(Random(7)))
    vault: Vault = field(default_factory=lambda: Vault(MASTER_KEY))
    period: Period = field(default_factory=lambda: Period("day"))
    copies: Path | None = None

    @property
    def database(self) -> Path:
        """Return where the keys lie."""
        return self.folder / FILE

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[KeyServer]:
        """Found the key server unless it is, and lend it open, with what is due made."""
        async with KeyStore.open(self.database) as store:
            await found(store, self.vault, self.entropy)
            issuer = await Issuer.open(store, self.vault, self.period, self.clock, self.entropy)
            await issuer.look()
            yield KeyServer(
                issuer=issuer,
                store=store,
                vault=self.vault,
                clock=self.clock,
                trail=AuditTrail(store, self.clock),
                copier=Copier(
                    store,
                    self.vault,
                    issuer,
                    place=FolderPlace(self.copies) if self.copies else None,
                    keep_days=2,
                    clock=self.clock,
                    entropy=self.entropy,
                ),
            )

    async def connect(self, connect: Connect, server: KeyServer) -> TestClient[Any, Any]:
        """Return a client of *server* that shows no token unless told."""
        book = TokenBook(
            (token_hash(name), Principal(name, frozenset({scope})))
            for name, scope in SCOPES.items()
        )
        client: TestClient[Any, Any] = await connect(key_server_app(server, book, self.entropy))
        return client


def showing(token: str, **headers: str) -> dict[str, str]:
    """Return the headers of a call with *token*."""
    return {"Authorization": f"Bearer {token}", **headers}


async def a_waiter(board: Board) -> None:
    """Return when somebody waits for another list."""
    async with asyncio.timeout(5):
        while not board._waiters:  # noqa: ASYNC110 - the board has no event for it
            await asyncio.sleep(0.001)


async def call(client: TestClient[Any, Any], token: str, path: str) -> Any:
    """GET *path* and return its JSON."""
    async with client.get(path, headers=showing(token)) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        return orjson.loads(await response.read())
