"""The registry as a process."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from link_registry.__main__ import main
from link_registry.config import Config
from milepost.client import Client
from milepost.config import Secret
from milepost.errors import ConfigError, UnavailableError
from milepost.service import sole_holder
from milepost.sse import events
from milepost.tokens import FEED, LINKS_WRITE, tokens_document

TOKEN = "milepost_" + "0" * 64


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return what a registry is told at its start."""
    tokens = tmp_path / "tokens.json"
    tokens.write_bytes(tokens_document([("editor", (LINKS_WRITE, FEED), TOKEN)]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {
        "MILEPOST_DATA": str(tmp_path / "data"),
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{port}",
        "MILEPOST_TOKENS_FILE": str(tokens),
    }


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    with sole_holder(folder / "lock", "another registry"):
        yield


async def test_one_folder_has_one_registry(env: dict[str, str]) -> None:
    """Two writers of one database would give two changes one position."""
    config = Config.from_env(env)

    with _held(config.data), pytest.raises(ConfigError, match="in use by another process"):
        await main(config)


async def test_a_port_in_use_is_one_sentence(env: dict[str, str]) -> None:
    """What to do is not followed by warnings about loops that never ran."""
    port = int(env["MILEPOST_PRIVATE_LISTEN"].rpartition(":")[2])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"),
        ):
            await main(Config.from_env(env))
        gc.collect()

    assert [str(each.message) for each in warned if "never awaited" in str(each.message)] == []


@pytest.mark.parametrize(
    ("given", "missing"),
    [("LITESTREAM_SOCKET", "REPLICA_URL"), ("REPLICA_URL", "LITESTREAM_SOCKET")],
)
def test_replication_is_configured_whole(env: dict[str, str], given: str, missing: str) -> None:
    """Half of it would look like a backup and be none."""
    with pytest.raises(ConfigError, match=f"MILEPOST_{missing}: missing"):
        Config.from_env(env | {f"MILEPOST_{given}": "/somewhere"})


def test_the_tokens_file_has_no_default(env: dict[str, str]) -> None:
    """A registry that nobody may call, or everybody, is a mistake."""
    del env["MILEPOST_TOKENS_FILE"]

    with pytest.raises(ConfigError, match="MILEPOST_TOKENS_FILE"):
        Config.from_env(env)


async def _start(env: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "link_registry", env=dict(env), stderr=asyncio.subprocess.PIPE
    )


async def _created(client: Client) -> None:
    while True:
        try:
            await client.post("/v1/links", {"path": "/a", "destination": "https://example.org/"})
        except UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.slow
async def test_a_process_ends_at_once_when_told(env: dict[str, str]) -> None:
    """With exit status 0, although an edge follows; meanwhile a second one is refused with 2."""
    first = await _start(env)
    async with (
        Client.connect(f"http://{env['MILEPOST_PRIVATE_LISTEN']}", Secret(TOKEN)) as client,
        asyncio.timeout(30),
    ):
        await _created(client)
        second = await _start(env)
        _, said = await second.communicate()
        async with client.stream("/sync/stream", {}, silence_seconds_max=30) as lines:
            async for event in events(lines):
                first.send_signal(signal.SIGTERM)
                assert event.name == "snapshot"
        async with asyncio.timeout(5):
            _, logged = await first.communicate()

    assert second.returncode == 2
    assert b"in use by another process" in said
    assert first.returncode == 0
    assert TOKEN.encode() not in logged
