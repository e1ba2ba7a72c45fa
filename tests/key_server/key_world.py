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
from key_server.destruction.destroyer import Destroyer
from key_server.destruction.guard import Asker
from key_server.destruction.rules import Limits
from key_server.destruction.store import DestructionStore
from key_server.issuing import Issuer, found
from key_server.periods import Period
from key_server.store import FILE, KeyStore
from key_server.wrapping import Vault
from milepost.seal import address_mac_key, token_id
from milepost.tokens import (
    ADDRESSES,
    EDGE,
    KEYS_READ,
    KEYS_WRITE,
    OPEN,
    PULL,
    MacKeys,
    Principal,
    TokenBook,
    token_hash,
)
from milepost.vocabulary import Millis

START = Millis(1_763_640_000_000)  # 2025-11-20T12:00:00Z
DAY_MS = 86_400_000
MASTER_KEY = bytes(range(32))
LIMITS = Limits(grace_ms=2 * DAY_MS, keep_ms=30 * DAY_MS, backup_ms=2 * DAY_MS)
SCOPES = {"edge": EDGE, "open": OPEN, "keys": KEYS_READ, "rotate": KEYS_WRITE, "pull": PULL}
SCOPES |= {"addresses": ADDRESSES}
EDGE_TOKEN = "milepost_" + "ab" * 32
MACS = MacKeys({token_id(EDGE_TOKEN): address_mac_key(EDGE_TOKEN)})

Connect = Callable[..., Any]


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    moment: Millis = START
    counter: int = 0  # what nobody can set

    def now(self) -> Millis:
        """Return the moment it stands at."""
        return self.moment

    def move(self, milliseconds: int) -> None:
        """Let time pass."""
        self.jump(milliseconds)
        self.counter += milliseconds

    def jump(self, milliseconds: int) -> None:
        """Be set to another time."""
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
    macs: MacKeys = field(default_factory=lambda: MACS)
    limits: Limits = field(default_factory=lambda: LIMITS)
    asker: Asker | None = None
    copies: Path | None = None

    @property
    def database(self) -> Path:
        """Return where the keys lie."""
        return self.folder / FILE

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[KeyServer]:
        """Found the key server unless it is, and lend it open, with what is due made."""
        async with KeyStore.open(self.database) as store:
            made = await found(store, self.vault, self.entropy)
            issuer = await Issuer.open(store, self.vault, self.period, self.clock, self.entropy)
            if made:  # as `init` does
                await issuer.look()
            destroyer = await Destroyer.open(
                issuer=issuer,
                store=DestructionStore(store),
                limits=self.limits,
                asker=self.asker,
                clock=self.clock,
                counter=lambda: self.clock.counter,
            )
            await issuer.look()
            yield KeyServer(
                issuer=issuer,
                store=store,
                vault=self.vault,
                clock=self.clock,
                trail=AuditTrail(store, self.clock),
                macs=self.macs,
                destroyer=destroyer,
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
