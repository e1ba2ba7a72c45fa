"""Where visitors come from is on no disk and in no log line, with or without a key server."""

import asyncio
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from key_server.wrapping import Purpose, Vault
from milepost.seal import address_mac_key, open_addresses, token_id
from milepost.vocabulary import Epoch
from tests.log.combined import log_dir
from tests.log.kit import EDGE_TOKEN, Answers, Log, World, read_log, visit, world
from tests.log.search import address_needles, found_in_files
from tests.log.test_log_litestream import held, replicated

pytestmark = pytest.mark.slow

ADDRESSES = [f"127.66.{third}.{fourth}" for third in (3, 119) for fourth in (17, 78, 201)]
VISITS_EACH = 20
MASTER_KEY = bytes.fromhex("11" * 32)


async def click_from(running: World, address: str, part: str, answers: Answers) -> None:
    """Click from *address*, and say so to whoever may believe it."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=4)
    headers = {"X-Forwarded-For": address, "Fly-Client-IP": address, "Forwarded": f"for={address}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        last = address.rpartition("127.66.")[2].replace(".", "-")
        for number in range(VISITS_EACH):
            await visit(session, running.url, f"{part}/{last}/{number}", answers)


async def malformed_from(running: World, address: str) -> None:
    """Send what no server understands: its bytes and its sender are somebody's secret too."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.public_port, local_addr=(address, 0)
    )
    writer.write(f"GET /{address} HTTP/9.9\r\nX: \x00{address}\r\n\r\n".encode())
    await writer.drain()
    await reader.read()
    writer.close()


async def everybody_clicks(running: World, part: str, answers: Answers) -> None:
    """Let visitors come from every address."""
    await asyncio.gather(*(click_from(running, each, part, answers) for each in ADDRESSES))
    await asyncio.gather(*(malformed_from(running, each) for each in ADDRESSES))


def found_addresses(folder: Path) -> dict[str, int]:
    """Return what is found more often than once: four bytes may come up by chance."""
    needles = {name: needle for each in ADDRESSES for name, needle in address_needles(each).items()}
    found = found_in_files(folder, needles)
    return {name: count for name, count in found.items() if count > 1 or len(needles[name]) > 4}


def sealed_addresses(running: World, log: Log) -> list[str]:
    """Open every address box, as only the key server could."""
    vault, mac_keys = Vault(MASTER_KEY), {token_id(EDGE_TOKEN): address_mac_key(EDGE_TOKEN)}
    keys = sqlite3.connect(f"file:{running.folder}/keys/keys.db?mode=ro", uri=True)
    secrets = dict(keys.execute("SELECT number, address_secret FROM epoch").fetchall())
    keys.close()
    found: list[str] = []
    for batch in log.batches.values():
        if batch.addresses:
            epoch = Epoch(batch.header.epoch)
            secret = vault.unwrap(Purpose.ADDRESS, epoch, secrets[epoch])
            found += open_addresses(batch.header, batch.addresses, secret, mac_keys).values()
    return found


async def learned_keys(running: World) -> None:
    """Start the edge for as long as it takes to have the list of epochs."""
    running.edge.start()
    await asyncio.to_thread(running.edge.wait_live)
    cache = log_dir(running).parent / "epochs.json"
    for _ in range(100):
        if cache.exists():
            break
        await asyncio.sleep(0.05)
    assert running.edge.stop() == 0


async def test_a_cold_start_without_the_key_server_writes_no_address(tmp_path: Path) -> None:
    """Nobody is hashed, so everybody's address is sealed, and nothing but sealed."""
    answers = Answers()
    with world(tmp_path, CLIENT_IP="forwarded:1", LOG_LEVEL="DEBUG") as running:
        await learned_keys(running)
        running.keys.stop()
        async with replicated(running) as beside:
            running.edge.start()
            await asyncio.to_thread(running.edge.wait_live)
            await held(beside, 1)
            await everybody_clicks(running, "down", answers)
            await asyncio.sleep(2.0)
            searched_while_running = found_addresses(tmp_path)
            running.edge.kill()
        running.keys.start()
        running.keys.wait_live()
        log = await read_log(running)
        sealed = sealed_addresses(running, log)

    assert len(answers.redirected) == len(ADDRESSES) * VISITS_EACH
    assert searched_while_running == found_addresses(tmp_path) == {}
    assert {record.visitor for record in log.records} == {None}
    assert sorted(sealed) == sorted(ADDRESSES * VISITS_EACH)
    assert any((tmp_path / "replicas").rglob("*.ltx")), "nothing was replicated"


@pytest.mark.parametrize("addresses", ["missing", "all", "off"])
async def test_with_a_key_server_no_address_is_written_either(
    tmp_path: Path, addresses: str
) -> None:
    """Whoever has a hash is sealed only where the operator asks for it."""
    answers = Answers()
    with world(tmp_path, ADDRESSES=addresses, LOG_LEVEL="DEBUG") as running:
        await learned_keys(running)
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        await asyncio.sleep(1.0)
        await everybody_clicks(running, "up", answers)
        assert running.edge.stop() == 0
        log = await read_log(running)
        sealed = sealed_addresses(running, log)

    assert found_addresses(tmp_path) == {}
    assert len({record.visitor for record in log.records} - {None}) == len(ADDRESSES)
    assert sorted(sealed) == (sorted(ADDRESSES * VISITS_EACH) if addresses == "all" else [])
