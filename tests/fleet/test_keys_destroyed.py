"""Destruction on the whole platform: what was counted stays, the key leaves memory and files."""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import NotFoundError
from tests.fleet.kit import Answers, Platform, clean_env, click, counted, platform, visitors
from tests.log.search import found_in_files, found_in_memory, secret_needles

pytestmark = pytest.mark.slow

SECONDS_MAX, TRIES = 40.0, 5
SETTINGS = {
    "MILEPOST_EPOCH": "4s",
    "MILEPOST_SALT_GRACE": "2s",
    "MILEPOST_EPOCH_KEEP": "6s",
}


async def current(client: Client) -> dict[str, Any]:
    """Return the epoch of this moment."""
    epochs = (await client.get("/v1/states"))["epochs"]
    return next(dict(epoch) for epoch in epochs if epoch["state"] == "active")


async def gone(client: Client, epoch: int) -> None:
    """Wait until the record key of *epoch* is destroyed."""
    ends = time.monotonic() + SECONDS_MAX
    while time.monotonic() < ends:
        try:
            await client.get(f"/v1/epochs/{epoch}/record-key")
        except NotFoundError:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"the record key of epoch {epoch} is still there")


async def forgotten(pid: int, needles: dict[str, bytes]) -> None:
    """Wait until the process holds none of *needles*.

    What a key came in is freed, not wiped: it goes as the memory is used again.
    """
    ends = time.monotonic() + SECONDS_MAX
    while found := found_in_memory(pid, needles):
        assert time.monotonic() < ends, found
        await asyncio.sleep(0.5)


async def used_key(one: Platform, keys: Client, answers: Answers) -> tuple[int, bytes]:
    """Click until the aggregator has opened something with the key of an epoch; return both."""
    fleet = one.fleet
    assert fleet.aggregator.pid
    async with visitors() as session:
        for number in range(TRIES):
            epoch = (await current(keys))["epoch"]
            told = await keys.get(f"/v1/epochs/{epoch}/record-key")
            await click(session, fleet.regions[0].url, f"click/{number}", answers)
            await counted(fleet, answers.redirected, seconds=10)
            key = bytes.fromhex(told["record_key"])
            if found_in_memory(fleet.aggregator.pid, {"key": key}):
                return epoch, key
    pytest.fail("the aggregator never held a key that was asked for")


def command(one: Platform, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command about keys beside the platform."""
    fleet = str(one.data / "fleet.json")
    return subprocess.run(
        [sys.executable, "-m", "milepost", "--fleet", fleet, "keys", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean_env(),
    )


async def test_a_record_key_leaves_once_all_is_counted(tmp_path: Any) -> None:
    """By the schedule alone: the aggregator says that nothing needs it, and forgets it too."""
    answers = Answers()
    with platform(tmp_path / "fleet", "--regions", "dfw", "--no-litestream", env=SETTINGS) as one:
        fleet = one.wait_ready()
        url, token = fleet.key_server.url, Secret(fleet.tokens["operator"])
        async with Client.connect(url, token) as keys:
            epoch, key = await used_key(one, keys, answers)
            before = await counted(fleet, answers.redirected, seconds=10)
            await gone(keys, epoch)
            receipts = (await keys.get("/v1/receipts"))["receipts"]
        after = await counted(fleet, answers.redirected, seconds=10)
        checked = command(one, "receipts", "--verify", "--json")
        early = command(one, "destroy", str(epoch + 9), "--yes")
        pid = one.fleet.aggregator.pid
        assert pid
        await forgotten(pid, {"key": key})

        assert found_in_files(one.data, secret_needles("key", key)) == {}
    assert checked.returncode == 0
    assert {json.loads(line)["signature"] for line in checked.stdout.splitlines()} == {"good"}
    assert early.returncode == 2
    assert "is not over" in early.stderr
    assert answers.redirected
    assert after == before
    assert any(f'"epoch":{epoch},' in each["receipt"] for each in receipts)
