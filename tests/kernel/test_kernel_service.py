"""Running a service."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from milepost import service
from milepost.config import EnvReader, Listener
from milepost.errors import ConfigError, InvariantError
from milepost.service import (
    CHECK,
    CONFIG_STATUS,
    listen,
    reserve,
    run_service,
    run_until_told,
    sole_holder,
    with_platform_names,
)


def read_region(env: Mapping[str, str]) -> str:
    """Read a configuration of one setting."""
    with EnvReader(env) as read:
        return read.text("REGION")


async def nothing(_config: str) -> None:
    """Be a service that has nothing to do."""


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"MILEPOST_REGOIN": "dfw"}, "MILEPOST_REGOIN: unknown"),
        ({"MILEPOST_LOG_LEVEL": "LOUD"}, "MILEPOST_LOG_LEVEL: want one of DEBUG"),
    ],
)
def test_wrong_surroundings_end_with_status_2_and_a_text(
    env: dict[str, str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error, which says what to do, and no traceback."""
    status = run_service("edge", read_region, nothing, env)

    told = capsys.readouterr().err
    assert status == CONFIG_STATUS
    assert told.startswith("milepost edge: ")
    assert text in told
    assert "Traceback" not in told


@pytest.mark.parametrize(("env", "status"), [({}, 0), ({"MILEPOST_REGOIN": "dfw"}, CONFIG_STATUS)])
def test_a_check_reads_the_settings_and_ends(
    env: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same reading as at a start, and nothing is started."""
    monkeypatch.setattr("sys.argv", ["edge", CHECK])

    async def never(_config: str) -> None:
        msg = "it was only to be checked"
        raise InvariantError(msg)

    assert run_service("edge", read_region, never, env) == status


def test_the_platform_names_region_and_machine() -> None:
    """On Fly.io nobody has to; what is given by hand wins."""
    env = {"FLY_REGION": "cdg", "FLY_MACHINE_ID": "m1", "MILEPOST_MACHINE": "mine"}

    filled = with_platform_names(env)

    assert filled["MILEPOST_REGION"] == "cdg"
    assert filled["MILEPOST_MACHINE"] == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    """The loops are cancelled and waited for, and nothing is raised."""
    ended = asyncio.Event()

    async def loop() -> None:
        try:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            ended.set()

    await run_until_told([loop()])

    assert ended.is_set()


async def test_a_loop_that_fails_ends_the_process() -> None:
    """With its own error, while the other loops are stopped."""

    async def broken() -> None:
        msg = "impossible"
        raise InvariantError(msg)

    async def well() -> None:
        await asyncio.Event().wait()

    with pytest.raises(InvariantError):
        await run_until_told([broken(), well()])


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told which file the first one holds; afterwards it is free."""
    lock = tmp_path / "data" / "lock"

    with (
        sole_holder(lock, "this folder"),
        pytest.raises(ConfigError, match=f"this folder is in use by another process .*{lock}"),
        sole_holder(lock, "this folder"),
    ):
        pass
    with sole_holder(lock, "this folder"):
        pass


async def test_a_port_in_use_says_so() -> None:
    """The text names the port and what to do."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]

        async with contextlib.AsyncExitStack() as stack:
            with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use; stop"):
                await listen(stack, web.Application(), [Listener("127.0.0.1", port)])


async def test_both_kinds_of_server_are_served(unused_tcp_port: int) -> None:
    """An application, and the low-level server of the hot path."""

    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    async with contextlib.AsyncExitStack() as stack:
        where = [Listener("127.0.0.1", unused_tcp_port)]
        await listen(stack, web.Server(handler), where)
        async with ClientSession() as session:
            response = await session.get(f"http://127.0.0.1:{unused_tcp_port}/")
            assert await response.text() == "here"

    assert service.DRAIN_SECONDS > 0


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def whoami(name: str, stack: contextlib.AsyncExitStack, place: Listener) -> None:
    """Serve *name* at *place*, which others may share."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=name)

    await listen(stack, web.Server(answer), [place], shared=True)


async def test_processes_share_a_port_that_is_held_for_them() -> None:
    """Whoever only holds it gets no connection; of the others each gets some."""
    async with contextlib.AsyncExitStack() as stack:
        place = Listener("127.0.0.1", free_port())
        reserve(stack, [place])
        await whoami("one", stack, place)
        await whoami("two", stack, place)
        heard = set()
        for _ in range(64):  # the kernel deals by the visitor's port
            async with ClientSession() as session, session.get(f"http://{place}") as response:
                heard.add(await response.text())

    assert heard == {"one", "two"}


async def test_a_port_that_cannot_be_shared_is_told_at_once() -> None:
    """Workers that fail one by one would tell it much later."""
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as taken:
        place = Listener("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"port {place.port} on 127.0.0.1 is in use"):
            reserve(stack, [place])
