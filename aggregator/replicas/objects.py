"""The object store: which replicas lie there, what is in one, and deleting one.

Names are found by listing folders, region by region and machine by machine, so
that the thousands of files inside a replica cost nothing until it is looked into.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from aggregator.replicas.access import Access
from aggregator.replicas.names import Name
from milepost.errors import UnavailableError
from milepost.vocabulary import Millis

if TYPE_CHECKING:  # there for the type checker alone
    from obstore import ObjectMeta
    from obstore.store import S3Config

COMBINED = "combined"  # the aggregator's own replica
OURS = frozenset({COMBINED, "links"})  # not streams, and where they belong
CALL_SECONDS_MAX = 120.0
RETRIES_MAX, RETRY_SECONDS_MAX = 2, 20
NAMES_MAX = 100_000  # far above any fleet's; what is beyond waits until others have gone
DELETED_AT_ONCE = 1_000

# A file that begins at the first transaction is one that a restore can begin with.
_BASE = re.compile(r"(?:^|/)0{15}1-[0-9a-f]{16}\.ltx$")


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in the store, by name."""

    names: tuple[Name, ...]
    foreign: int  # what is no replica of a stream, and is left alone
    cut: bool  # there was more than is looked at


@dataclass(frozen=True, slots=True)
class Contents:
    """What one replica is made of."""

    files: int
    size_bytes: int
    newest_ms: Millis


class Objects:
    """An object store in which replicas lie."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._store: ObjectStore | None = None

    async def listing(self) -> Listing:
        """Return the names of all replicas of streams."""
        names: list[Name] = []
        foreign = 0
        async with self._calls() as store:
            for region in await _folders(store, ""):
                for machine in await _folders(store, region):
                    for path in await _folders(store, machine):
                        name = Name.parse(path)
                        if name is None:
                            foreign += path.partition("/")[0] not in OURS
                        elif len(names) < NAMES_MAX:
                            names.append(name)
                        else:
                            return Listing(tuple(names), foreign, cut=True)
        return Listing(tuple(names), foreign, cut=False)

    async def contents(self, name: Name) -> Contents:
        """Return how much there is of *name*, and how new it is."""
        files = size = newest = 0
        async with self._calls() as store:
            async for chunk in obstore.list(store, prefix=str(name)):
                files += len(chunk)
                size += sum(each["size"] for each in chunk)
                newest = max(newest, *(_millis(each) for each in chunk)) if chunk else newest
        return Contents(files, size, Millis(newest))

    async def oldest_base(self) -> Millis | None:
        """Return when the oldest file was written with which the combined database can be restored.

        None: there is no such file, so that nothing is known about it.
        """
        oldest: int | None = None
        async with self._calls() as store:
            async for chunk in obstore.list(store, prefix=COMBINED):
                found = [_millis(each) for each in chunk if _BASE.search(each["path"])]
                oldest = min([*found, *([] if oldest is None else [oldest])], default=oldest)
        return None if oldest is None else Millis(oldest)

    async def delete(self, name: Name) -> bool:
        """Delete *name*; tell whether nothing is left of it."""
        below = f"{name}/"
        async with self._calls() as store:
            async for chunk in obstore.list(store, prefix=str(name), chunk_size=DELETED_AT_ONCE):
                paths = [each["path"] for each in chunk if each["path"].startswith(below)]
                if paths:
                    await obstore.delete_async(store, paths)
        return (await self.contents(name)).files == 0

    async def put(self, path: str, content: bytes) -> None:
        """Put a small object at *path*, in the place of what is there."""
        async with self._calls() as store:
            await obstore.put_async(store, path, content)

    async def read_below(self, folder: str) -> list[bytes]:
        """Return what the small objects in *folder* hold."""
        found = []
        async with self._calls() as store:
            async for chunk in obstore.list(store, prefix=folder):
                for each in chunk:
                    told = await obstore.get_async(store, each["path"])
                    found.append(bytes(await told.bytes_async()))
        return found

    @contextlib.asynccontextmanager
    async def _calls(self) -> AsyncIterator[ObjectStore]:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                if self._store is None:
                    self._store = _open(self._access)
                yield self._store
        except (BaseError, OSError, TimeoutError) as error:
            first = (str(error).strip().splitlines() or [""])[0]
            msg = f"the object store: {type(error).__name__}: {self._access.told(first)}"
            raise UnavailableError(msg) from None  # the cause may show more than that


def _open(access: Access) -> ObjectStore:
    if access.folder:
        return LocalStore(Path(access.folder).resolve(), automatic_cleanup=True)
    bucket, prefix = access.bucket
    told = access.s3()
    config = {**told, "virtual_hosted_style_request": "endpoint" not in told}
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=cast("S3Config", config),
        client_options={"allow_http": told.get("endpoint", "").startswith("http://")},
        retry_config={
            "max_retries": RETRIES_MAX,
            "retry_timeout": timedelta(seconds=RETRY_SECONDS_MAX),
        },
    )


async def _folders(store: ObjectStore, below: str) -> list[str]:
    found = await obstore.list_with_delimiter_async(store, prefix=below or None)
    return sorted(found["common_prefixes"])


def _millis(told: "ObjectMeta") -> int:
    return round(told["last_modified"].timestamp() * 1000)
