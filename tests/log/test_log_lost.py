"""A machine is lost with its volume: what had reached the object store is counted, once."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from milepost.batch import Batch
from milepost.vocabulary import BatchId
from tests.log.combined import aggregator, counted, told
from tests.log.counted import ending
from tests.log.kit import (
    Answers,
    Service,
    World,
    clean_env,
    stream_batches,
    visit_many,
    world,
)
from tests.log.kit import _open as opened
from tests.log.stores import S3_ENV, SECRET, Store, s3_store
from tests.log.test_log_litestream import BINARY, Beside, held

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(params=["file", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Return a folder, then a real S3 server, whose credentials stand in the environment."""
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    if request.param == "file":
        folder = tmp_path / "store"
        folder.mkdir()
        yield Store(f"file://{folder}", folder)
        return
    for name, value in S3_ENV.items():
        monkeypatch.setenv(name, value)
    with s3_store(tmp_path / "s3") as found:
        yield found


@contextlib.asynccontextmanager
async def replicating(service: Service, store: Store) -> AsyncIterator[Beside]:
    """Run a litestream beside *service*, which has yet to be started."""
    folder = Path(tempfile.mkdtemp(prefix="mp-"))  # sockets need short paths
    found = Beside(folder / "ls.sock", store.folder)
    service.env["MILEPOST_LITESTREAM_SOCKET"] = str(found.control)
    service.env["MILEPOST_REPLICA_URL"] = store.url
    keeping = asyncio.create_task(found.keep())
    try:
        yield found
    finally:
        keeping.cancel()
        found.end()
        shutil.rmtree(folder, ignore_errors=True)


def in_store(store: Store, machine: str, out: Path) -> dict[BatchId, Batch]:
    """Restore every replica of *machine*, with nothing of ours; return their batches."""
    out.mkdir()
    batches: dict[BatchId, Batch] = {}
    for found in sorted((store.folder / "dfw" / machine).iterdir()):
        target = out / f"{found.name}.db"
        subprocess.run(
            [
                str(BINARY),
                "restore",
                "-o",
                str(target),
                store.url_of(f"dfw/{machine}/{found.name}"),
            ],
            check=True,
            capture_output=True,
            env=clean_env(),
        )
        batches |= {each.header.batch: each for each in stream_batches(target)}
    return batches


def leaves_of(folder: Path) -> list[Path]:
    """Return what lies in *folder*."""
    return list(folder.iterdir())


async def lose_a_machine(running: World, store: Store, answers: Answers) -> None:
    """Have an edge answer visitors until its machine is gone in the middle of it."""
    running.edge.env["MILEPOST_MACHINE"] = "lost"
    async with replicating(running.edge, store) as beside:
        for part in range(2):  # a life that ended, and the one that is lost
            running.edge.start()
            await asyncio.to_thread(running.edge.wait_live)
            await held(beside, 1)
            await visit_many(running, [f"{part}/{each}" for each in range(100)], answers)
            await asyncio.sleep(2.5)  # litestream copies once a second
            if part == 0:
                running.edge.kill()
        await visit_many(running, [f"last/{each}" for each in range(100)], answers)
        beside.signal(signal.SIGKILL)
        running.edge.kill()
    shutil.rmtree(running.edge.env["MILEPOST_DATA"])


async def test_what_had_reached_the_store_is_counted_once(tmp_path: Path, store: Store) -> None:
    """Every batch that a restore finds is applied, each record is one hit, and no more."""
    answers = Answers()
    with world(tmp_path / "world", ACCEPT_BUDGET_MS="60000") as running:
        await lose_a_machine(running, store, answers)
        batches = in_store(store, "lost", tmp_path / "oracle")
        records = await opened(running, batches)
        running.edge.env["MILEPOST_MACHINE"] = "new"
        for name in ("LITESTREAM_SOCKET", "REPLICA_URL"):
            running.edge.env.pop(f"MILEPOST_{name}")
        running.edge.start()
        counting = aggregator(running, [running.edge])
        with ending(counting):
            async with replicating(counting, store):
                counting.start()
                await asyncio.to_thread(counting.wait_live)
                wanted = {record.path for record in records}
                found = await counted(counting, wanted)
                last = await told(counting, lambda each: "last_sweep" in each["replicas"])
                leaves = leaves_of(running.folder / "combined" / "replicas.scratch")
                text = counting.log.read_text()

    assert len(wanted) >= 200
    assert found == Counter(record.path for record in records) == dict.fromkeys(wanted, 1)
    assert len(last["replicas"]["swept"]) == 2
    assert last["replicas"]["failed"] == []
    assert [each["machine"] for each in last["sources"]] == ["new"]
    assert leaves == []
    assert SECRET not in text
