"""What stands around a destruction: an aggregator that says what is drained, and the files."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from milepost import sqlite
from milepost.http import json_response
from tests.key_server.key_world import DAY_MS, LIMITS, World

TO_MIDNIGHT_MS = DAY_MS // 2
SALT_DUE_MS = TO_MIDNIGHT_MS + LIMITS.grace_ms
RECORD_DUE_MS = TO_MIDNIGHT_MS + LIMITS.keep_ms


@dataclass
class Aggregator:
    """What an aggregator answers about what is drained."""

    world: World
    drained: bool = True
    clicks: float = 0  # as JSON has them, so that an answer can also be wrong
    off_ms: int = 0
    down: bool = False
    meanwhile_ms: int = 0  # what this machine's clock is set ahead by while it is asked
    asked: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/drained`."""
        self.asked.append(dict(request.query))
        self.world.clock.jump(self.meanwhile_ms)
        if self.down:
            return json_response({"detail": "out for lunch"}, status=503)
        streams = [] if self.drained else [{"stream": "ab" * 16, "source": "dfw", "records": 12}]
        return json_response(
            {
                "epoch": int(request.query["epoch"]),
                "now_ms": self.world.clock.now() + self.off_ms,
                "drained": self.drained,
                "clicks": self.clicks,
                "set_aside": 0,
                "reasons": [] if self.drained else ["one stream lags"],
                "streams": streams,
            }
        )


def columns_of(world: World, epoch: int, *columns: str) -> list[Any]:
    """Return what lies on disk of an epoch."""
    connection = sqlite.connect_read_only(world.database)
    row = connection.execute(
        f"SELECT {', '.join(columns)} FROM epoch WHERE number = ?", (epoch,)
    ).fetchone()
    connection.close()
    return list(row)


def in_files(world: World, needle: bytes) -> bool:
    """Tell whether any file of the folder holds *needle*."""
    return any(needle in path.read_bytes() for path in world.folder.iterdir() if path.is_file())


def tombstone(world: World, epoch: int = 1) -> tuple[int | None, int | None]:
    """Return when an epoch's salt and record key went."""
    salt, record = columns_of(world, epoch, "salt_gone_ms", "record_gone_ms")
    return salt, record
