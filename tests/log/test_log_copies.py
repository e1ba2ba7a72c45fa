"""Logs rolled back, copied and moved: nothing later is hidden or doubled, what is gone is told."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from milepost.sqlite import connect_read_only
from tests.log.combined import aggregator, counted, hits, log_dir, second_edge, streams, told
from tests.log.kit import Answers, Service, World, free_port, visit, visit_many, visitors, world

pytestmark = pytest.mark.slow

DURABLE = "60000"  # a budget that lets every commit finish: what was answered is on disk
BATCHES = 600


class Cable:
    """The way from the aggregator to an edge, which breaks after so many answers with batches."""

    def __init__(self, edge: Service, answers: int) -> None:
        self.port = free_port()
        self.answers: float = answers
        self._edge = edge

    @property
    def url(self) -> str:
        """Return what the aggregator pulls."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        """Carry pulls until the block ends."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/pull", self._carry)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _carry(self, request: web.Request) -> web.Response:
        if self.answers <= 0:
            raise web.HTTPServiceUnavailable
        url = f"http://127.0.0.1:{self._edge.private_port}/v1/pull"
        headers = {"Authorization": request.headers["Authorization"]}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(url, data=await request.read(), headers=headers) as response,
            ):
                answer = await response.json()
                status = response.status
        except aiohttp.ClientError as error:
            raise web.HTTPServiceUnavailable from error
        if self.answers <= 0:
            raise web.HTTPServiceUnavailable
        self.answers -= bool(answer.get("batches"))
        return web.json_response(answer, status=status)


async def start(*edges: World) -> None:
    """Start each of *edges*, on whatever is in its folder."""
    for edge in edges:
        edge.edge.start()
        await asyncio.to_thread(edge.edge.wait_live)


async def one_by_one(running: World, part: str, numbers: range, answers: Answers) -> None:
    """Click so that every record is a batch of its own."""
    async with visitors() as session:
        for number in numbers:
            await visit(session, running.url, f"{part}/{number}", answers)


async def click(running: World, part: str, answers: Answers, *, count: int = 60) -> None:
    """Click, many at a time."""
    await visit_many(running, [f"{part}/{number}" for number in range(count)], answers)


def files_of(folder: Path, name: str = "*") -> list[Path]:
    """Return the files of a log, without those that only running processes share."""
    return [path for path in folder.glob(f"{name}.*") if not path.name.endswith("-shm")]


def copy_log(folder: Path, out: Path, name: str = "*") -> None:
    """Copy a log, or the files of one stream."""
    out.mkdir(parents=True, exist_ok=True)
    for path in files_of(folder, name):
        shutil.copy2(path, out)


def put_back(copy: Path, folder: Path) -> None:
    """Replace the files of which there is an older copy, and whatever belongs to them."""
    for old in copy.glob("*.db"):
        for path in folder.glob(f"{old.name}*"):
            path.unlink()
    copy_log(copy, folder)


def newest(folder: Path) -> str:
    """Return the id of the stream that was written last."""
    return max(folder.glob("*.db"), key=lambda path: path.stat().st_mtime_ns).stem


async def one_answer(combined: Service, cable: Cable, clicks: Sequence[str]) -> list[str]:
    """Return those of *clicks* that came before the cable broke: the first ones, each once."""
    found: Counter[str] = Counter()
    while cable.answers > 0 or not found or found != await hits(combined):
        await asyncio.sleep(0.5)
        found = await hits(combined) if cable.answers <= 0 else found
    reached = list(clicks[: found.total()])
    assert found == Counter(reached)
    return reached


def accepted(combined: Service) -> int:
    """Return how many visits all meters together have accepted, as the aggregator knows them."""
    path = Path(combined.env["MILEPOST_DATA"]) / "combined.db"
    connection = connect_read_only(path)
    try:
        (total,) = connection.execute("SELECT sum(accepted) FROM meter").fetchone()
        return int(total)
    finally:
        connection.close()


@pytest.mark.parametrize("kept", [50, 400], ids=["behind-the-cursor", "ahead-of-the-cursor"])
@pytest.mark.parametrize("whole", [False, True], ids=["one-stream", "with-its-meter"])
async def test_what_a_roll_back_takes_is_told_and_what_comes_later_is_counted(
    tmp_path: Path, kept: int, *, whole: bool
) -> None:
    """An older stream in the place of one that was announced to be longer, but not yet pulled."""
    before, later, lost = Answers(), Answers(), Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        cable = Cable(running.edge, answers=1)
        combined = aggregator(running, [], cable.url)
        async with cable.laid():
            await start(running)
            await one_by_one(running, "n", range(kept), before)
            stream = newest(log_dir(running))
            copy_log(log_dir(running), tmp_path / "older", "*" if whole else stream)
            await one_by_one(running, "n", range(kept, BATCHES), before)
            try:
                combined.start()
                reached = len(await one_answer(combined, cable, before.redirected))
                assert running.edge.stop() == 0
                put_back(tmp_path / "older", log_dir(running))
                await start(running)
                await click(running, "later", later)
                cable.answers = float("inf")
                have = before.redirected[: max(kept, reached)]
                lost.redirected = before.redirected[len(have) :]
                found = await counted(combined, have + later.redirected)
                await asyncio.sleep(1.5)
                again = await hits(combined)
                about = (await streams(combined))[stream]
                meters = accepted(combined)
            finally:
                combined.kill()

    assert len(before.redirected) == BATCHES
    assert found == again == Counter(have + later.redirected)
    assert about["lag_records"] == len(lost.redirected)
    assert about["last_seq"] == BATCHES
    assert ("forked" in about) == (kept < reached)
    assert "fault" not in about
    assert meters == BATCHES + len(later.redirected), "the older meter hides what is lost"


async def test_a_roll_back_of_what_is_pulled_already_costs_nothing(tmp_path: Path) -> None:
    """Again and again, with clicks between: each is counted once, and no stream waits."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        combined = aggregator(running, [running.edge])
        await start(running)
        combined.start()
        try:
            for part in range(4):
                await click(running, f"{part}/early", answers)
                copy_log(log_dir(running), tmp_path / f"{part}")
                await click(running, f"{part}/late", answers)
                await counted(combined, answers.redirected)
                running.edge.kill()
                put_back(tmp_path / f"{part}", log_dir(running))
                await start(running)
            await click(running, "end", answers)
            found = await counted(combined, answers.redirected)
            about = await told(combined, lambda answer: not answer["sources"][0]["lag_records"])
            meters = accepted(combined)
        finally:
            combined.kill()

    assert answers.unanswered == 0
    assert found == Counter(answers.redirected)
    assert about["sources"][0]["lag_records"] == 0
    assert meters == len(answers.redirected)


async def test_copies_beside_a_stream_are_named_and_count_for_nothing(tmp_path: Path) -> None:
    """In another folder under its own name, and under others in the same: one stream stays one."""
    answers = Answers()
    strange = [os.urandom(16).hex(), "a copy of a stream"]
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        combined = aggregator(running, [running.edge])
        await start(running)
        await click(running, "early", answers)
        folder = log_dir(running)
        stream = newest(folder)
        copy_log(folder, folder / "copy", stream)
        for name in strange:
            for path in files_of(folder, stream):
                shutil.copy2(path, folder / path.name.replace(stream, name))
        await click(running, "late", answers)
        combined.start()
        try:
            await counted(combined, answers.redirected)
            for _ in range(2):
                running.edge.kill()
                await start(running)
                await click(running, f"again/{len(answers.redirected)}", answers)
            found = await counted(combined, answers.redirected)
            about = await told(combined, lambda answer: "unreadable" in answer["sources"][0])
        finally:
            combined.kill()

    (source,) = about["sources"]
    assert found == Counter(answers.redirected)
    assert source["unreadable"] == sorted(f"{name}.db" for name in strange)
    assert source["lag_records"] == 0
    assert len(source["streams"]) == 3


async def test_a_log_on_two_machines_is_one_log(tmp_path: Path) -> None:
    """Both go on from the same files, in streams of their own; what both have counts once."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        other = second_edge(running, "m2")
        combined = aggregator(running, [running.edge, other.edge])
        await start(running)
        await click(running, "both", answers)
        copy_log(log_dir(running), log_dir(other))  # taken from under a writer
        await click(running, "first", answers)
        combined.start()
        try:
            await start(other)
            for part in range(3):
                await click(running, f"{part}/a", answers)
                await click(other, f"{part}/b", answers)
                for each in (running, other) if part == 1 else ():
                    each.edge.kill()
                    await start(each)
            found = await counted(combined, answers.redirected)
            about = await told(combined, is_drained)
            meters = accepted(combined)
        finally:
            combined.kill()
            other.edge.kill()

    assert found == Counter(answers.redirected)
    assert is_drained(about)
    assert {source["machine"] for source in about["sources"]} == {"local", "m2"}
    assert meters == len(answers.redirected), "a meter that is there twice is not the newer one"


def is_drained(answer: dict[str, object]) -> bool:
    """Tell whether nothing is missing that any source has announced."""
    sources = answer["sources"]
    assert isinstance(sources, list)
    return not any(source["lag_records"] for source in sources)


async def test_a_log_that_moves_to_another_machine_is_the_same_log(tmp_path: Path) -> None:
    """Half of it pulled from the first machine, and the rest from the second."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=DURABLE) as running:
        other = second_edge(running, "m2")
        cable = Cable(running.edge, answers=1)
        combined = aggregator(running, [other.edge], cable.url)
        await start(running)
        await one_by_one(running, "n", range(BATCHES // 2), answers)
        running.edge.kill()
        copy_log(log_dir(running), log_dir(other))
        await start(running)
        async with cable.laid():
            combined.start()
            try:
                await one_answer(combined, cable, answers.redirected)
                running.edge.kill()
                await start(other)
                await click(other, "moved", answers)
                found = await counted(combined, answers.redirected)
                await asyncio.sleep(1.5)
                again = await hits(combined)
                about = await told(combined, is_drained)
            finally:
                combined.kill()
                other.edge.kill()

    assert found == again == Counter(answers.redirected)
    assert is_drained(about)
