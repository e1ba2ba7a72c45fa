"""The object store by S3's protocol: listed, looked into, deleted, refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.replicas.access import Access
from aggregator.replicas.names import Name
from aggregator.replicas.objects import Objects
from milepost.errors import UnavailableError
from milepost.vocabulary import StreamId
from tests.log.stores import S3_ENV, SECRET, Store, s3_store

NAMES = [
    Name("cdg", "m1", StreamId(b"a" * 16)),
    Name("dfw", "m1", StreamId(b"b" * 16)),
    Name("dfw", "m1", StreamId(b"c" * 16)),
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Return a store with three replicas, the combined one, and what does not belong there."""
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, value in S3_ENV.items():
        monkeypatch.setenv(name, value)
    files = [f"{name}/000{level}/{level}.ltx" for name in NAMES for level in range(3)]
    files += [f"combined/0009/{1:016x}-{9:016x}.ltx", f"combined/0000/{2:016x}-{9:016x}.ltx"]
    files += ["links/0000/x.ltx", "dfw/m1/other/x", "dfw/m1/readme"]
    with s3_store(tmp_path / "s3") as found:
        for file in files:
            path = found.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("12345")
        yield found


async def test_replicas_are_listed_looked_into_and_deleted(store: Store) -> None:
    """Only what lies below the name goes."""
    objects = Objects(Access(store.url, dict(os.environ)))
    listing = await objects.listing()
    assert sorted(listing.names) == NAMES
    assert (listing.foreign, listing.cut) == (1, False)
    contents = await objects.contents(NAMES[1])
    assert (contents.files, contents.size_bytes) == (3, 15)
    base = store.folder / "combined" / "0009" / f"{1:016x}-{9:016x}.ltx"
    oldest = await objects.oldest_base()
    assert oldest is not None
    assert abs(oldest - base.stat().st_mtime * 1000) < 2_000

    assert await objects.delete(NAMES[1])

    assert sorted((await objects.listing()).names) == [NAMES[0], NAMES[2]]
    assert (store.folder / "dfw" / "m1" / "readme").exists()
    assert (await objects.contents(NAMES[2])).files == 3


async def test_a_store_that_refuses_says_so_without_the_secret(store: Store) -> None:
    """What is wrong is the credentials; which they are stays in the environment."""
    env = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET[::-1]}
    objects = Objects(Access(store.url, env))
    with pytest.raises(UnavailableError, match="the object store: ") as caught:
        await objects.listing()

    assert SECRET[::-1] not in str(caught.value)
    assert "endpoint=" not in str(caught.value)


async def test_without_a_combined_replica_nothing_is_known(tmp_path: Path) -> None:
    """And so nothing may be deleted."""
    assert await Objects(Access(f"file://{tmp_path}", {})).oldest_base() is None
