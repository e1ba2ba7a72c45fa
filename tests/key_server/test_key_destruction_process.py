"""Destruction by a real process: on time with short epochs, and killed at any moment."""

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from milepost import sqlite
from milepost.receipts import verify_receipt
from milepost.tokens import EDGE, KEYS_READ, KEYS_WRITE, OPEN, tokens_document
from tests.key_server.test_key_process import TOKEN, environment, free_port, get, run, serving

pytestmark = pytest.mark.slow

SECOND_MS = 1_000
KILLS = 50
READY_SECONDS = 20.0


def surroundings(folder: Path, port: int, **more: str) -> dict[str, str]:
    """Return the environment of a key server with epochs of two seconds."""
    tokens = folder / "tokens.json"
    scopes = (EDGE, OPEN, KEYS_READ, KEYS_WRITE)
    tokens.write_bytes(tokens_document([("test", scopes, TOKEN)]))
    return environment(
        folder / "keys",
        MILEPOST_TOKENS_FILE=str(tokens),
        MILEPOST_PRIVATE_LISTEN=f"127.0.0.1:{port}",
        MILEPOST_EPOCH="2s",
        **more,
    )


def rows(folder: Path) -> list[Any]:
    """Return what is there of each epoch."""
    connection = sqlite.connect_read_only(folder / "keys" / "keys.db")
    found = connection.execute(
        "SELECT number, end_ms, salt, address_secret, salt_gone_ms, record_secret, record_gone_ms"
        "  FROM epoch ORDER BY number"
    ).fetchall()
    connection.close()
    return list(found)


def test_salts_go_on_time(tmp_path: Path) -> None:
    """Two seconds after their epoch and no later than a look takes; record keys stay."""
    port = free_port()
    env = surroundings(tmp_path, port, MILEPOST_SALT_GRACE="2s", MILEPOST_EPOCH_KEEP="4s")
    identity = bytes.fromhex(orjson.loads(run(env, "init").stdout)["identity"])
    first = rows(tmp_path)[:5]
    ends = time.time() + 16
    with serving(env, port):
        while time.time() < ends:
            now_ms = time.time() * 1000
            late = [
                row[0]
                for row in rows(tmp_path)
                if row[2] is not None and row[1] + 2 * SECOND_MS + 3 * SECOND_MS < now_ms
            ]
            assert late == []
            time.sleep(0.3)
        told = get(port, "/v1/receipts")
        salts = get(port, "/v1/salts")["salts"]
    checked = [verify_receipt(each, identity) for each in told["receipts"]]
    after = rows(tmp_path)

    last_ms = max(receipt.at_ms for receipt in checked)  # more may go before the process ends
    gone = {row[0] for row in after if row[4] is not None and row[4] <= last_ms}
    assert {row[0] for row in first} <= gone
    assert {receipt.epoch for receipt in checked} == gone
    assert len(checked) == len(gone)
    assert not gone & {each["epoch"] for each in salts}
    assert all(row[5] is not None for row in after)  # nobody said that they are not needed
    content = b"".join(path.read_bytes() for path in (tmp_path / "keys").glob("keys.db*"))
    assert [secret in content for row in first for secret in (row[2], row[3])] == [False] * 10
    assert all(row[5] in content for row in first)


def destroy(port: int, epoch: int, what: str) -> None:
    """Ask for a destruction; the process may die meanwhile."""
    body = {"epoch": epoch, "what": what, "force_clicks": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/destroy",
        data=orjson.dumps(body),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with contextlib.suppress(OSError, urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310


def whole(folder: Path, identity: bytes) -> int:
    """Require that no epoch is half destroyed and that receipts match; return how many went."""
    connection = sqlite.connect_read_only(folder / "keys" / "keys.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    receipts = {
        (epoch, what): verify_receipt(orjson.loads(document), identity)
        for epoch, what, document in connection.execute("SELECT epoch, what, document FROM receipt")
    }
    noted = {
        (epoch, what.removeprefix("destroy-"))
        for epoch, what in connection.execute(
            "SELECT epoch, what FROM audit WHERE what LIKE 'destroy-%'"
        )
    }
    connection.close()
    tombstones = {}
    for number, _, salt, address, salt_gone, record, record_gone in rows(folder):
        assert (salt is None) == (address is None) == (salt_gone is not None)
        assert (record is None) == (record_gone is not None)
        if salt_gone is not None:
            tombstones[number, "salt"] = salt_gone
        if record_gone is not None:
            tombstones[number, "record"] = record_gone
    assert {key: receipt.at_ms for key, receipt in receipts.items()} == tombstones
    assert noted == set(tombstones)
    return len(tombstones)


def destroy_each(port: int, wanted: list[tuple[int, str]]) -> None:
    """Ask for one destruction after another."""
    for epoch, what in wanted:
        destroy(port, epoch, what)


@pytest.mark.timeout(400)
def test_killed_at_any_moment_nothing_is_half_destroyed(tmp_path: Path) -> None:
    """Fifty times: the database opens, salt and address key go together, receipts match."""
    chance, port = Random(9), free_port()
    env = surroundings(tmp_path, port)  # nothing is due by itself for two days
    identity = bytes.fromhex(orjson.loads(run(env, "init").stdout)["identity"])
    time.sleep(4)
    went, stopped_short = 0, 0
    secrets: dict[int, tuple[bytes, bytes]] = {}
    for _ in range(KILLS):
        secrets |= {row[0]: (row[2], row[3]) for row in rows(tmp_path) if row[2] is not None}
        with serving(env, port) as process, ThreadPoolExecutor(1) as pool:
            over = [row for row in rows(tmp_path) if row[1] < time.time() * 1000 - SECOND_MS]
            wanted = [(row[0], "salt") for row in over if row[4] is None][:3]
            wanted += [(row[0], "record") for row in over if row[6] is None][:3]
            calls = pool.submit(destroy_each, port, wanted)
            time.sleep(chance.random() * (0.002 + 0.003 * len(wanted)))  # less than they take
            os.kill(process.pid, signal.SIGKILL)
            process.wait(READY_SECONDS)
            calls.result(30)
        before, went = went, whole(tmp_path, identity)
        stopped_short += went - before < len(wanted)
    with serving(env, port):  # whatever was left in the WAL goes with the start
        content = b"".join(path.read_bytes() for path in (tmp_path / "keys").glob("keys.db*"))
        gone = [row[0] for row in rows(tmp_path) if row[4] is not None and row[0] in secrets]
        assert gone
        for number in gone:
            assert not any(secret in content for secret in secrets[number])
    assert went >= KILLS // 5  # a slow machine gets less far in the same time
    assert stopped_short >= KILLS // 10, (
        stopped_short
    )  # else the kills came too late to mean anything
