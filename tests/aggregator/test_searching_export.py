"""`GET /v1/export`: all hits that are asked for, in every format, and what may happen meanwhile."""

import asyncio
import csv
import io
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from aggregator.access.narrowing import EVERYTHING
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Budget
from aggregator.rolling.store import roll_block
from aggregator.searching import exporting, handlers, parquet, store
from aggregator.searching.exporting import Export
from aggregator.searching.question import Told, read_selection
from aggregator.searching.rows import FIELDS, columns_of, written
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.searched_world import NOW, Searched, id_of
from tests.aggregator.test_aggregator_query import READ, Client, Connect, connect, pull


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an export of few rows come in many pieces."""
    monkeypatch.setattr(exporting, "PIECE_ROWS", 3)
    monkeypatch.setattr(exporting, "REMEMBERED_CHARS_MAX", 30)
    monkeypatch.setattr(store, "BLOCK_HITS", 4)
    monkeypatch.setattr(store, "RARE_BLOCKS", 5)


def exported(world: Searched, told: Told, *, meanwhile: bool) -> list[str]:
    """Return the ids of an export, and let hits come and be rolled up *meanwhile*."""
    export = Export(read_selection(told, NOW), EVERYTHING, "jsonl", ("id",))
    lines = b""
    while not export.done:
        lines += export.piece(world.db, Budget(rows=9, until=1.0, seconds=lambda: 0.0))
        if meanwhile:
            world.add_batch(2)
            roll_block(world.db, 5)
    return [orjson.loads(line)["id"] for line in lines.splitlines()]


QUESTIONS: list[dict[str, list[str]]] = [
    {},
    {"country": ["DE"]},
    {"country": ["XX"]},
    {"country": ["!DE", "!"], "link": ["one"]},
    {"session": ["s1", "s2"]},
    {"visitor": ["00" * 16]},
    {"link": ["!", "!one", "!two"]},
]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("meanwhile", [False, True])
@pytest.mark.parametrize("told", QUESTIONS, ids=str)
def test_an_export_tells_what_was_there_when_it_began(
    tmp_path: Path, told: dict[str, list[str]], *, meanwhile: bool
) -> None:
    """Each once, in the order of arrival, also where it takes many pieces to find one."""
    world = Searched(tmp_path, 1)
    for _ in range(30):
        world.add_batch(4)
    for _ in range(10):
        roll_block(world.db, 5)
    expected = [id_of(row) for row in world.expected({**told, "order": ["arrival"]})]

    assert exported(world, told, meanwhile=meanwhile) == expected


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.usefixtures("small_pieces")
async def test_every_format_tells_the_same(world: World, client: Client, form: str) -> None:
    """As `GET /v1/hits` tells it, whatever is in the texts."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    texts = ['a,"b"\t', "line\r\nline", "\N{SNOWMAN}", "", "x'y", None]
    rows = [a_record(n, agent=text, opt_out=n % 2 == 0) for n, text in enumerate(texts)]
    await pull(world, rows[:4], rows[4:])
    wanted = "time,id,status,opt_out,agent,visitor"

    response = await client.get(f"/v1/export?format={form}&columns={wanted}", headers=READ)
    content = await response.read()
    told = await client.get(f"/v1/hits?order=arrival&columns={wanted}", headers=READ)

    expected = (await told.json())["hits"]
    if form not in {"jsonl", "parquet"}:
        expected = [plain(hit, wanted) for hit in expected]
    assert read_back(form, content) == expected
    assert response.headers["Content-Disposition"] == f'attachment; filename="hits.{form}"'


def plain(hit: dict[str, Any], wanted: str) -> dict[str, str]:
    """Return *hit* as cells tell it."""
    values = {name: hit.get(name, "") for name in wanted.split(",")}
    return {name: re.sub("^(True|False)$", lambda found: found[0].lower(), str(value))
            for name, value in values.items()}  # fmt: skip


def read_back(form: str, content: bytes) -> list[dict[str, Any]]:
    """Return what is in a file."""
    if form == "jsonl":
        return [orjson.loads(line) for line in content.splitlines()]
    if form == "parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
        for row in rows:
            row["time"] = row["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return [{name: row[name] for name in row if row[name] is not None} for row in rows]
    lines = io.StringIO(content.decode(), newline="")
    return list(csv.DictReader(lines, delimiter="\t" if form == "tsv" else ","))


def test_no_cell_is_a_formula() -> None:
    """A visitor can send what a spreadsheet would compute."""
    formulas = ["=1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "'x", "1=1"]

    lines = written("csv", ("agent",), [formulas]).decode()

    cells = [row[0] for row in csv.reader(io.StringIO(lines, newline=""))]
    assert cells == ["'=1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "''=1", "'x", "1=1"]


def test_a_row_of_nothing_is_still_a_row() -> None:
    """Whoever counts lines counts hits."""
    assert written("csv", ("agent",), [[None, "a"]]) == b'""\na\n'
    assert written("jsonl", ("agent",), [[None, None]]) == b"{}\n{}\n"
    assert columns_of(FIELDS, [], {}) == [[]] * len(FIELDS)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=5", "limit: want one of kind"),
        ("order=time", "order: want one of kind"),
        ("format=xml", "format: want one of jsonl, csv, tsv, parquet"),
        ("status=ok", "status: want"),
    ],
)
async def test_a_wrong_export_is_refused(client: Client, query: str, named: str) -> None:
    """Before a byte of it is sent."""
    response = await client.get(f"/v1/export?{query}", headers=READ)

    assert response.status == 400
    assert (await response.json())["detail"].startswith(named)


async def test_parquet_needs_its_library(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the refusal says what to install."""
    monkeypatch.setattr(parquet, "pa", None)
    response = await client.get("/v1/export?format=parquet", headers=READ)

    assert response.status == 400
    assert "milepost[parquet]" in (await response.json())["detail"]


@pytest.mark.usefixtures("small_pieces")
async def test_a_caller_who_goes_away_ends_the_work(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves room for the next export; more at once than there may be are refused."""
    monkeypatch.setattr(handlers, "EXPORTS_MAX", 1)
    client = await connect(world, aiohttp_client, asker=(slow := SlowAsker(world.queries)))
    await pull(world, *([a_record(n) for n in range(100)] for _ in range(20)))
    first = await client.get("/v1/export", headers=READ)
    refused = await client.get("/v1/export", headers=READ)
    first.close()
    async with asyncio.timeout(30):
        while (await client.get("/v1/export?visitor=!", headers=READ)).status != 200:
            slow.go.set()

    assert refused.status == 429


async def test_a_caller_who_does_not_read_is_cut(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is for others again."""
    monkeypatch.setattr(handlers, "EXPORTS_MAX", 1)
    monkeypatch.setattr(handlers, "SEND_SECONDS_MAX", 0.2)
    client = await connect(world, aiohttp_client)
    many = [a_record(n, agent="x" * 1_500) for n in range(500)]
    await pull(world, *(many for _ in range(16)))
    idle = await client.get("/v1/export", headers=READ)
    async with asyncio.timeout(30):
        while (await client.get("/v1/export?visitor=!", headers=READ)).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    idle.close()


class SlowAsker(Asker):
    """Answers the first piece at once, and every other one when it is told to."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.go = asyncio.Event()
        self._asked = 0

    async def ask(self, *given: Any, **told: Any) -> Any:
        """Wait, unless it is the first."""
        self._asked += 1
        if self._asked > 1:
            await self.go.wait()
        return await super().ask(*given, **told)
