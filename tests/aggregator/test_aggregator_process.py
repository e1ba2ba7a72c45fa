"""The aggregator as a process: start, pull, be killed, go on, stop."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator.config import Config
from aggregator.discovery.finding import Where
from milepost.client import Client, new_session
from milepost.config import Listener, Secret
from milepost.errors import ConfigError, ServiceError
from milepost.tokens import HITS_READ, tokens_document
from tests.aggregator.combined_world import TOKEN, World, a_record
from tests.aggregator.dns_world import APP, Dnsmasq, Platform, needs_dnsmasq

GOOD = {
    "MILEPOST_TOKENS_FILE": "tokens.json",
    "MILEPOST_TOKEN": TOKEN,
    "MILEPOST_KEYS_URL": "http://127.0.0.1:1/",
    "MILEPOST_KEYS_IDENTITY": "5a" * 32,
    "MILEPOST_SOURCES": "http://127.0.0.1:2, http://127.0.0.1:3/",
}


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Running:
    """One aggregator on a folder, restarted as often as a test likes."""

    def __init__(self, world: World, folder: Path) -> None:
        tokens = folder / "tokens.json"
        tokens.write_bytes(tokens_document([("test", [HITS_READ], TOKEN)]))
        self.url = f"http://127.0.0.1:{free_port()}"
        self._env = {
            "PATH": os.environ["PATH"],
            "MILEPOST_DATA": str(folder / "data"),
            "MILEPOST_PRIVATE_LISTEN": self.url.removeprefix("http://"),
            "MILEPOST_TOKENS_FILE": str(tokens),
            "MILEPOST_TOKEN": TOKEN,
            "MILEPOST_KEYS_URL": world.keys.url,
            "MILEPOST_KEYS_IDENTITY": world.keys.identity.hex(),
            "MILEPOST_SOURCES": ",".join(edge.url for edge in world.edges),
        }
        self._started: list[Process] = []

    async def start(self, **more: str) -> Process:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "aggregator",
            env=self._env | more,
            stderr=asyncio.subprocess.PIPE,
        )
        self._started.append(process)
        return process

    async def stop(self) -> None:
        """Kill whatever still runs."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def ask(self, path: str, enough: Callable[[Any], bool]) -> Any:
        """Return the answer at *path* as soon as it is *enough*."""
        async with asyncio.timeout(10), new_session() as session:
            client = Client(session, self.url, Secret(TOKEN))
            while True:
                try:
                    answer = await client.get(path)
                    if enough(answer):
                        return answer
                except ServiceError:
                    pass
                await asyncio.sleep(0.005)

    async def hits(self, count: int) -> list[str]:
        """Return the path of every hit as soon as there are *count*."""
        answer = await self.ask(
            "/v1/hits?order=arrival", lambda answer: len(answer["hits"]) >= count
        )
        return [hit["path"] for hit in answer["hits"]]


@pytest.fixture
async def running(world: World, tmp_path: Path) -> AsyncIterator[Running]:
    """Return an aggregator to be started, with one edge that holds its answers back."""
    edge = await world.add_edge()
    edge.holds = True
    found = Running(world, tmp_path)
    yield found
    await found.stop()


def test_all_faults_of_the_settings_are_told_together() -> None:
    """A wrong start says everything that is wrong, once."""
    with pytest.raises(ConfigError) as caught:
        Config.from_env(
            {
                **GOOD,
                "MILEPOST_SOURCES": "http://a:1,http://a:1/",
                "MILEPOST_REPLICA_URL": "file:///x",
                "MILEPOST_TOKEN": "",
            }
        )

    text = str(caught.value)
    assert "MILEPOST_SOURCES: names an address twice" in text
    assert "MILEPOST_LITESTREAM_SOCKET: missing; it goes together" in text
    assert "MILEPOST_TOKEN: missing" in text


def test_no_source_is_a_fault() -> None:
    """An aggregator that pulls nobody would look well and count nothing."""
    with pytest.raises(ConfigError, match="MILEPOST_SOURCES: want http://host:port, got ','"):
        Config.from_env({**GOOD, "MILEPOST_SOURCES": ","})


def test_an_app_is_enough() -> None:
    """The list may be empty then; group and port are those that deploy/fly.toml has."""
    more = {"MILEPOST_SOURCES": "", "MILEPOST_SOURCES_APP": "shop"}
    config = Config.from_env({**GOOD, **more, "MILEPOST_DNS": "[fdaa::3]:53"})

    assert config.sources == ()
    assert config.where == Where("shop", "edge", 8081)
    assert config.dns == Listener("fdaa::3", 53)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("SOURCES", "", "MILEPOST_SOURCES: missing; name the edges, or their app in MILEPOST_SOU"),
        ("SOURCES_APP", "a.b", "MILEPOST_SOURCES_APP: want small letters"),
        ("SOURCES_GROUP", "a/b", "MILEPOST_SOURCES_GROUP: want small letters"),
        ("SOURCES_PORT", "0", "MILEPOST_SOURCES_PORT: want 1..65535"),
        ("DNS", "dns.example:53", "MILEPOST_DNS: want one address:port"),
        ("DNS", "1.1.1.1:53,1.0.0.1:53", "MILEPOST_DNS: want one address:port"),
        ("DNS", "1.1.1.1", "MILEPOST_DNS: want host:port"),
    ],
)
def test_where_to_look_is_checked(name: str, value: str, fault: str) -> None:
    """A name ends up inside others, and a DNS that needed a DNS would never be found."""
    with pytest.raises(ConfigError, match=re.escape(fault)):
        Config.from_env({**GOOD, f"MILEPOST_{name}": value})


def test_a_registry_may_be_missing() -> None:
    """Then no click limit is kept; one that is named is checked like every address."""
    named = {**GOOD, "MILEPOST_LINKS_URL": "http://links:8081/"}

    assert Config.from_env(GOOD).links_url == ""
    assert Config.from_env(named).links_url == "http://links:8081"
    with pytest.raises(ConfigError, match="MILEPOST_LINKS_URL: want http://host:port"):
        Config.from_env({**GOOD, "MILEPOST_LINKS_URL": "links"})


def test_good_settings_are_read() -> None:
    """Addresses lose their slash, and the database lies in the data folder."""
    config = Config.from_env({**GOOD, "MILEPOST_DATA": "/data"})

    assert config.sources == ("http://127.0.0.1:2", "http://127.0.0.1:3")
    assert (config.where, config.dns) == (None, None)
    assert config.database == Path("/data/combined.db")


@pytest.mark.slow
async def test_a_click_becomes_a_hit_and_a_kill_loses_none(world: World, running: Running) -> None:
    """Ready, quick when idle, exactly once over a kill -9, and 0 when told to stop."""
    (edge,) = world.edges
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    first = await running.start()
    await running.ask("/readyz", lambda answer: answer["ready"])
    assert await running.hits(1) == ["/spring?n=1"]

    begun = time.monotonic()
    stream.add(world.epoch, [a_record(2)])
    edge.news.set()
    await running.hits(2)
    assert time.monotonic() - begun < 1

    stream.add(world.epoch, [a_record(3)])
    edge.news.set()
    first.kill()
    await first.wait()
    second = await running.start()
    assert await running.hits(3) == ["/spring?n=1", "/spring?n=2", "/spring?n=3"]

    second.send_signal(signal.SIGTERM)
    _, errors = await second.communicate()
    assert second.returncode == 0, errors
    assert b"Traceback" not in errors
    assert b'"level": "error"' not in errors
    assert TOKEN.encode() not in errors
    assert world.epoch.record_secret.hex().encode() not in errors


@pytest.mark.slow
async def test_a_second_process_on_one_folder_is_refused(world: World, running: Running) -> None:
    """Two writers would each move cursors of their own."""
    await running.start()
    await running.ask("/livez", lambda answer: answer["live"])

    second = await running.start(MILEPOST_PRIVATE_LISTEN=f"127.0.0.1:{free_port()}")
    _, errors = await asyncio.wait_for(second.communicate(), 10)

    assert second.returncode == 2
    assert b"in use by another process" in errors


@needs_dnsmasq
@pytest.mark.slow
async def test_machines_are_found_and_no_silence_loses_them(
    world: World, running: Running, tmp_path: Path
) -> None:
    """One that comes is pulled; with the DNS dead both go on, also over a restart."""
    async with contextlib.AsyncExitStack() as stack:
        dnsmasq, platform = Dnsmasq(tmp_path), Platform(world, stack)
        stack.callback(dnsmasq.stop)
        edges = [await platform.machine("127.0.0.2"), await platform.machine("127.0.0.3", "cdg")]
        streams = [edge.begin() for edge in edges]
        streams[0].add(world.epoch, [a_record(1)])
        dnsmasq.tell({"m1": "127.0.0.2"}, others={"k1": "127.0.0.9"})
        settings = {
            "MILEPOST_SOURCES": "",
            "MILEPOST_SOURCES_APP": APP,
            "MILEPOST_SOURCES_PORT": str(platform.port),
            "MILEPOST_DNS": str(dnsmasq.server),
        }
        process = await running.start(**settings)
        assert await running.hits(1) == ["/spring?n=1"]
        streams[1].add(world.epoch, [a_record(2)])
        dnsmasq.tell({"m1": "127.0.0.2", "m2": "127.0.0.3"})
        assert await running.hits(2) == ["/spring?n=1", "/spring?n=2"]

        dnsmasq.stop()
        await running.ask("/readyz", lambda told: "discovery" in told.get("notes", {}))
        streams[0].add(world.epoch, [a_record(3)])
        edges[0].news.set()
        assert len(await running.hits(3)) == 3

        process.kill()
        await process.wait()
        await running.start(**settings)
        wanted = [platform.url("m1"), platform.url("m2")]
        told = await running.ask("/v1/sources", lambda told: len(told["sources"]) == 2)
        assert [each["url"] for each in told["sources"]] == wanted
        streams[1].add(world.epoch, [a_record(4)])
        dnsmasq.tell({"m1": "127.0.0.2", "m2": "127.0.0.3"})
        assert len(await running.hits(4)) == 4
