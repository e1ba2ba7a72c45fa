"""Grants through kill -9: a registry that dies while it cleans up forgets nothing."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.tokens import GRANTS_READ, GRANTS_WRITE, tokens_document
from tests.link_registry.grants_world import BACKEND_TOKEN, FakeBackend, hang, ok, wish
from tests.log.kit import Service, free_port

TOKEN = "milepost_" + "0" * 64
GRANTS, IDS_EACH = 6, 10


def _registry(folder: Path, backend_url: str) -> Service:
    tokens = folder / "tokens.json"
    tokens.write_bytes(tokens_document([("granter", (GRANTS_READ, GRANTS_WRITE), TOKEN)]))
    port = free_port()
    env = {
        "DATA": str(folder / "data"),
        "PRIVATE_LISTEN": f"127.0.0.1:{port}",
        "TOKENS_FILE": str(tokens),
        "CLEANUP_URL": backend_url,
        "CLEANUP_TOKEN": BACKEND_TOKEN,
        "CLEANUP_ALLOW_PRIVATE": "yes",
    }
    named = {f"MILEPOST_{name}": value for name, value in env.items()}
    return Service("link_registry", named, folder / "registry.log", port)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_registry_killed_while_it_cleans_up_forgets_nothing(tmp_path: Path) -> None:
    """Killed with calls on their way, again and again: every id is reached, all grants go."""
    backend = FakeBackend()
    open_after = [15, 30, 45]  # so many ids are answered before the backend hangs

    def answer_of(_name: str) -> Callable[[str], bytes | None]:
        return hang if open_after and len(backend.reached) > open_after[0] else ok

    backend.answer_of = answer_of
    expected = {f"{n}-{m}" for n in range(GRANTS) for m in range(IDS_EACH)}
    async with backend.running() as url:
        registry = _registry(tmp_path, url)
        registry.start()
        await asyncio.to_thread(registry.wait_live)
        where = f"http://127.0.0.1:{registry.private_port}"
        try:
            async with Client.connect(where, Secret(TOKEN)) as client:
                for n in range(GRANTS):
                    ids = [f"{n}-{m}" for m in range(IDS_EACH)]
                    made = await client.post("/v1/grants", wish(f"o{n}", cleanup_ids=ids))
                    await client.post(f"/v1/grants/{made['grant']['id']}/end", {})
                while open_after:
                    await _until(lambda: len(backend.reached) > open_after[0])
                    registry.kill()
                    open_after.pop(0)
                    registry.start()
                    await asyncio.to_thread(registry.wait_live)
                async with asyncio.timeout(60):
                    while (await client.get("/v1/grants"))["grants"]:  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.1)
        finally:
            registry.kill()

    assert set(backend.reached) == expected
    assert BACKEND_TOKEN not in registry.log.read_text()
