"""`milepost log`: streams read from their files, whatever has become of them."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from milepost import sqlite
from milepost.cli import cli
from milepost.fleet import Fleet, RegionEntry, Service, write_fleet
from regional_logger.remember import Memory
from tests.cli.conftest import Answers, Run
from tests.edge.kit import NOON, Edge, a_record

PATHS = ("/one", "/two", "/three")


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge that has recorded three visits."""
    folder = tmp_path / "data" / "log"
    folder.mkdir(parents=True)
    one = Edge(folder)
    one.learn_keys()
    await one.journal.start()
    for path in PATHS:
        await offered(one, path)
    yield one
    await one.stop()


async def offered(edge: Edge, path: str) -> None:
    """Record one visit, and wait until it is on disk."""
    done = edge.offer(path, "192.0.2.1")
    assert done is not None
    await done


@pytest.fixture
def keys(edge: Edge, answers: Answers) -> Answers:
    """The key server's answer for the edge's epoch."""
    answers.told["GET /v1/epochs/1/record-key"] = {
        "epoch": 1,
        "key": edge.keys.public.key_id.hex(),
        "record_key": edge.keys.record_secret.hex(),
    }
    return answers


async def log(*words: str | Path) -> Result:
    """Run `milepost log` beside no fleet."""
    arguments = ["--fleet", "/nowhere/fleet.json", "log", *map(str, words)]
    return await asyncio.to_thread(CliRunner().invoke, cli, arguments)


def lines(result: Result) -> list[Any]:
    """Return what was printed for programs."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def digests(folder: Path) -> dict[str, str]:
    """Return what is in every main file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if not path.name.endswith("-shm")
    }


def only(folder: Path) -> Path:
    """Return the one stream there is."""
    (path,) = folder.glob("*.db")
    return path


def damage(edge: Edge, seq: int) -> None:
    """Put something else in the place of the record box of batch *seq*."""
    path = only(edge.folder)
    connection = sqlite.connect(path)
    connection.execute("UPDATE batch SET records = zeroblob(9) WHERE seq = ?", (seq,))
    connection.close()


async def test_ls_says_what_there_is(edge: Edge) -> None:
    """Of each stream how much, from when to when; of each life what it counted."""
    edge.journal.exclude(NOON)
    running = lines(await log("ls", edge.folder.parent, "--json"))
    await edge.stop()
    (edge.folder / f"{only(edge.folder).stem}.acknowledged").touch()
    stopped = lines(await log("ls", edge.folder, "--json"))
    table = (await log("ls", edge.folder)).stdout

    assert [row["state"] for row in (running[0], stopped[0])] == ["open", "acknowledged"]
    assert (running[0]["batches"], running[0]["records"], running[0]["epochs"]) == (3, 3, [1])
    assert running[0]["first_ms"] == running[0]["last_ms"] == NOON
    assert [row["lost"] for row in (running[1], stopped[1])] == [None, 0]
    assert (stopped[1]["accepted"], stopped[1]["recorded"], stopped[1]["excluded"]) == (3, 3, 1)
    assert stopped[1]["tallied"]["excluded"] == 1
    assert "acknowledged" in table
    assert "2025-11-20" in table


async def test_a_dead_life_says_what_it_lost(edge: Edge) -> None:
    """What its meter counted and no stream holds."""
    edge.meter.accept(NOON)
    await edge.stop()

    stream, life = lines(await log("ls", edge.folder, "--json"))

    assert (stream["state"], life["alive"], life["lost"]) == ("closed", False, 1)


async def test_what_is_no_stream_is_named_and_the_rest_shown(edge: Edge) -> None:
    """Exit status 1, and the good ones are there."""
    (edge.folder / "0000.db").write_bytes(b"nonsense" * 50)
    (edge.folder / "0000.meter").write_bytes(b"nonsense")

    listed = await log("ls", edge.folder, "--json")
    shown = await log("cat", edge.folder, "--json")
    checked = await log("verify", edge.folder)

    states = {Path(row["file"]).name: row["state"] for row in lines(listed) if "file" in row}
    assert states["0000.db"] == states["0000.meter"] == "unreadable"
    assert [row["seq"] for row in lines(shown)] == [1, 2, 3]
    assert "0000.db: it is not a stream" in shown.stderr
    assert "0000.db" in checked.stdout
    assert [each.exit_code for each in (listed, shown, checked)] == [1, 1, 1]


async def test_cat_shows_what_is_to_be_read_without_a_key(edge: Edge) -> None:
    """A batch a line: when, how much, sealed to what, and its tally."""
    first, *_ = lines(await log("cat", only(edge.folder), "--json"))
    table = (await log("cat", edge.folder)).stdout

    assert (first["seq"], first["count"], first["epoch"]) == (1, 1, 1)
    assert first["key"] == edge.keys.public.key_id.hex()
    assert first["bytes"] > 100
    assert first["tally"][0]["recorded"] == 1
    assert "recorded 1" in table
    assert "/one" not in table


async def test_cat_opens_with_the_fleets_token(run: Run, keys: Answers, edge: Edge) -> None:
    """One question for the key, shown the operator's token; then every record in order."""
    result = await run("log", "cat", str(edge.folder), "--open", "--json")
    table = await run("log", "cat", str(edge.folder), "--open")

    assert [row["path"] for row in lines(result)] == list(PATHS)
    assert all("/one" in each.stdout for each in (result, table))
    asked = [(path, token) for _, path, token, _ in keys.asked]
    assert asked == [("/v1/epochs/1/record-key", "operator-token")] * 2


async def test_a_raw_record_is_shown_with_its_reason(run: Run, keys: Answers, edge: Edge) -> None:
    """What was there, as text, in its place."""
    broken = a_record("/broken")._replace(agent=cast("str", ["?"]))
    done = edge.offer_memory(Memory(broken, None))
    assert done is not None
    await done

    *_, last = lines(await run("log", "cat", str(edge.folder), "--open", "--json"))
    table = (await run("log", "cat", str(edge.folder), "--open")).stdout

    assert last["fields"]["path"] == "/broken"
    assert "another type" in last["reason"]
    assert "/broken" in table


async def test_what_stays_sealed_is_said(run: Run, answers: Answers, edge: Edge) -> None:
    """A destroyed epoch is news about the batch; a token that may not is about the token."""
    destroyed = await run("log", "cat", str(edge.folder), "--open")
    answers.told["GET /v1/epochs/1/record-key"] = 403
    forbidden = await run("log", "cat", str(edge.folder), "--open")

    assert destroyed.exit_code == 1
    assert "batch 1: epoch 1 is unknown to the key server or destroyed" in destroyed.stderr
    assert forbidden.exit_code == 2
    assert forbidden.stderr.count("\n") == 1


async def test_verify_finds_all_as_it_was_written(run: Run, keys: Answers, edge: Edge) -> None:
    """On a running edge and a stopped one, with and without keys."""
    running = await log("verify", edge.folder)
    await edge.stop()
    opened = await run("log", "verify", str(edge.folder), "--open")
    told = lines(await log("verify", edge.folder, "--json"))

    assert (running.exit_code, opened.exit_code) == (0, 0)
    assert "1 streams, 3 batches, 3 records: all as they were written" in opened.stdout
    assert [(row["ok"], row["batches"], row["records"]) for row in told] == [(True, 3, 3)]


async def test_verify_names_file_and_seq(edge: Edge) -> None:
    """The damaged batch alone: the next one is checked against the value in its row."""
    await edge.stop()
    damage(edge, 2)

    result = await log("verify", edge.folder)
    (told,) = lines(await log("verify", edge.folder, "--json"))

    assert result.exit_code == 1
    assert only(edge.folder).name in result.stdout
    assert told["faults"] == [{"seq": 2, "fault": "it does not follow the chain"}]


async def test_a_box_that_does_not_open_is_found_with_keys(
    run: Run, keys: Answers, edge: Edge
) -> None:
    """The chain says that it is what was written; only a key shows that it is no box for it."""
    keys.told["GET /v1/epochs/1/record-key"]["record_key"] = "11" * 32

    (told,) = lines(await run("log", "verify", str(edge.folder), "--open", "--json"))

    assert [fault["seq"] for fault in told["faults"]] == [1, 2, 3]
    assert "does not open" in told["faults"][0]["fault"]


@pytest.mark.parametrize("running", [True, False])
async def test_no_command_changes_a_file(
    run: Run, keys: Answers, edge: Edge, *, running: bool
) -> None:
    """Not one byte, neither of a stream nor of its WAL, and nothing new is left there."""
    assert keys.told
    if not running:
        await edge.stop()
    before = digests(edge.folder)

    for words in (("ls",), ("cat", "--open"), ("verify", "--open")):
        assert (await run("log", *words, str(edge.folder))).exit_code == 0

    assert digests(edge.folder) == before


async def test_a_copy_without_a_wal_is_read_where_nothing_can_be_made(
    edge: Edge, tmp_path: Path
) -> None:
    """As on a volume that is mounted for reading: no side file is made, and none is needed."""
    await edge.stop()
    path = only(edge.folder)
    checkpoint(path)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "renamed.db").write_bytes(path.read_bytes())

    result = await log("verify", copy / "renamed.db")

    assert "3 batches, 3 records: all as" in result.stdout
    assert [each.name for each in copy.iterdir()] == ["renamed.db"]


async def test_a_wal_that_cannot_be_read_says_what_to_do(edge: Edge, tmp_path: Path) -> None:
    """Where SQLite cannot make its side file, a copy elsewhere is the way."""
    await edge.stop()
    path = only(edge.folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    for each in (path, path.with_name(f"{path.name}-wal")):
        (copy / each.name).write_bytes(each.read_bytes())
    # SQLite follows no link there: that stops even those who may write everywhere.
    (copy / f"{path.name}-shm").symlink_to("nowhere")

    result = await log("verify", copy)

    assert result.exit_code == 1
    assert "copy the file and those beside it to a folder that may be written to" in result.stdout


def checkpoint(path: Path) -> None:
    """Put everything into the main file."""
    connection = sqlite.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def test_tail_goes_on_and_ends_well(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last batches, then what is written meanwhile; Ctrl-C is no failure."""
    loop = asyncio.get_running_loop()
    naps = iter(["/four", "/five"])

    def sleep(seconds: float) -> None:
        assert seconds == 0.5
        path = next(naps, None)
        if path is None:
            raise KeyboardInterrupt
        asyncio.run_coroutine_threadsafe(offered(edge, path), loop).result()

    monkeypatch.setattr(time, "sleep", sleep)
    result = await log("tail", edge.folder, "--lines", "2", "--interval", "0.5", "--json")

    assert result.exit_code == 0
    assert [row["seq"] for row in lines(result)] == [2, 3, 4, 5]


def a_fleet(path: Path, log_dirs: dict[str, Path]) -> None:
    """Write a fleet file with these regions."""
    service = Service(url="http://127.0.0.1:9", pid=1, database="")
    regions = tuple(
        RegionEntry(region=region, url="", private_url="", pid=1, log_dir=str(folder))
        for region, folder in log_dirs.items()
    )
    fleet = Fleet(
        ready=True,
        pid=1,
        tokens={},
        key_server=service,
        link_registry=service,
        aggregator=service,
        regions=regions,
    )
    write_fleet(path, fleet)


async def test_without_a_path_it_is_the_fleets_log(edge: Edge, tmp_path: Path) -> None:
    """All regions or one, or one stream by the beginning of its id."""
    empty = tmp_path / "empty"
    empty.mkdir()
    fleet = tmp_path / "fleet.json"
    a_fleet(fleet, {"dfw": edge.folder, "cdg": empty})

    async def rows(*words: str) -> Result:
        arguments = ["log", "cat", *words, "--json", "--fleet", str(fleet)]
        return await asyncio.to_thread(CliRunner().invoke, cli, arguments)

    name = only(edge.folder).stem[:6]
    found = [len(lines(await rows(*words))) for words in ([], ["--region", "cdg"], [name])]
    nowhere, unknown = await rows("--region", "nrt"), await rows("zzzz")

    assert found == [3, 0, 3]
    assert (nowhere.exit_code, unknown.exit_code) == (2, 2)
    assert "no region 'nrt'; it has dfw, cdg" in nowhere.stderr
    assert "no file, no folder, and no stream" in unknown.stderr
    assert (await rows(str(edge.folder), "--region", "dfw")).exit_code == 2
