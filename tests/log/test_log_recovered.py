"""Keys recovered from a copy that is older than a destruction: what is destroyed stays so."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import NotFoundError
from milepost.receipts import What, verify_receipt
from tests.log.kit import READER_TOKEN, Answers, World, world
from tests.log.sealed import keys_in, keys_in_copy
from tests.log.test_log_rotation import (
    allow,
    begin,
    click_some,
    edge_follows,
    heard,
    keys_command,
    opened_by_part,
    operator,
    post,
    started,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DOOMED = 1
MORE_THAN_AHEAD = 54  # rotations after which no epoch of the copy is in use


async def rotate(running: World, times: int = 1) -> int:
    """Cut epochs short; return the number of the one that the edge is in then."""
    for _ in range(times - 1):
        await post(running, "/v1/rotate")
        await asyncio.sleep(0.002)
    told = await post(running, "/v1/rotate")
    await heard(running, told["version"])
    await asyncio.sleep(0.5)
    return int(told["epoch"])


async def destroy(running: World, receipts: Path) -> list[str]:
    """Destroy both secrets of the epoch; keep the receipts, as `keys receipts` prints them."""
    for what in What:
        await post(running, "/v1/destroy", {"epoch": DOOMED, "what": what, "force_clicks": 0})
    told = await receipts_of(running)
    await asyncio.to_thread(receipts.write_bytes, b"\n".join(map(orjson.dumps, told)))
    return [each["receipt"] for each in told]


async def receipts_of(running: World) -> list[dict[str, Any]]:
    """Return what the key server has signed."""
    async with operator(running) as client:
        return list((await client.get("/v1/receipts"))["receipts"])


async def record_key(running: World) -> bool:
    """Tell whether the record key of the epoch is given."""
    url = f"http://127.0.0.1:{running.keys.private_port}"
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        try:
            await client.get(f"/v1/epochs/{DOOMED}/record-key")
        except NotFoundError:
            return False
    return True


def recovered(running: World, folder: str, *words: str) -> str:
    """Type `milepost keys recover`; return what it prints."""
    done = keys_command(running, running.folder / folder, "recover", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_what_was_destroyed_since_the_copy_stays_destroyed(tmp_path: Path) -> None:
    """Copy, rotation, destruction, more rotations, loss, recovery; the edge runs all the while."""
    answers, receipts = Answers(), tmp_path / "receipts.json"
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        await allow(running)
        await started(running)
        await asyncio.sleep(1)
        await click_some(running, answers, "doomed")
        told = await post(running, "/v1/backup", {"to": str(tmp_path / "copies")})
        copy = tmp_path / "copies" / told["name"]
        known = await rotate(running)
        await click_some(running, answers, "known")
        documents = await destroy(running, receipts)
        unknown = await rotate(running, MORE_THAN_AHEAD)
        await click_some(running, answers, "unknown")
        assert running.keys.stop() == 0
        shutil.move(tmp_path / "keys", tmp_path / "lost")
        await click_some(running, answers, "without")
        bare = recovered(running, "bare", "--from", str(copy))
        said = recovered(running, "keys", "--from", str(copy), "--receipts", str(receipts))
        await begin(running)
        await edge_follows(running)
        await click_some(running, answers, "recovered")
        again, given = await receipts_of(running), await record_key(running)
        await post(running, "/v1/rotate")  # and it goes on as ever
        assert running.edge.stop() == 0
        sealed = await opened_by_part(running)

    judge_words(said, bare, unknown, sealed)
    assert not given
    assert keys_in(tmp_path / "keys" / "keys.db")[DOOMED].all == ()
    assert len(keys_in_copy(copy)[DOOMED].all) == 3  # the copy alone would give them back
    assert len(keys_in(tmp_path / "bare" / "keys.db")[DOOMED].all) == 3
    identity = bytes.fromhex(running.edge.env["MILEPOST_KEYS_IDENTITY"])
    assert [each["receipt"] for each in again] == documents
    assert {verify_receipt(each, identity).what for each in again} == set(What)
    assert sealed["open"].keys() == {"known", "recovered"}
    assert sealed["open"]["known"] == {known}
    assert sealed["lost"] == {DOOMED, unknown}
    assert answers.other == {}
    assert answers.unanswered == 0


def judge_words(said: str, bare: str, unknown: int, sealed: dict[str, Any]) -> None:
    """The command names what is destroyed, and what was sealed in between."""
    first, last = map(int, re.findall(r"epochs (\d+) to (\d+), made after", said)[0])
    assert first <= unknown <= last < min(sealed["recovered"])
    assert f"destroyed since the copy, by the receipts: {DOOMED}\n" in said
    assert "no receipts were given" not in said
    assert "destroyed since the copy, by the receipts: none\n" in bare
    assert "no receipts were given: secrets that were destroyed by hand" in bare
