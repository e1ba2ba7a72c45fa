"""A DNS on loopback in which machines come and go, and edges that it leads to.

The machines stand on addresses of their own (127.0.0.2 and so on), all on one port,
as the machines of an app do.
"""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random

import aiohttp
import dns.message
import dns.rcode
import pytest
from aiohttp.test_utils import TestServer

from aggregator.discovery.finding import Finder, Where
from aggregator.discovery.keeper import Keeper
from aggregator.discovery.names import Names, PrivateResolver
from aggregator.discovery.sources import Sources
from aggregator.discovery.store import SourceStore
from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from milepost.client import Client, new_session
from milepost.clock import SystemClock
from milepost.config import Listener, Secret
from milepost.http import new_app
from milepost.schedule import Schedule
from tests.aggregator.combined_world import TOKEN, Edge, World

APP, GROUP, HOST = "edges", "edge", "127.0.0.1"
ENOUGH_SECONDS = 10.0
needs_dnsmasq = pytest.mark.skipif(
    not shutil.which("dnsmasq"), reason="needs the Debian package dnsmasq-base"
)


def free_port() -> int:
    """Return a port that is free for UDP and TCP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((HOST, 0))
        port: int = tcp.getsockname()[1]
        udp.bind((HOST, port))
        return port


class Dnsmasq:
    """A real DNS, started anew whenever it is told something."""

    def __init__(self, folder: Path) -> None:
        self.server = Listener(HOST, free_port())
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def tell(self, edges: Mapping[str, str], *, others: Mapping[str, str] | None = None) -> None:
        """Have *edges* be the machines of the group by their addresses, and *others* of another."""
        lines = []
        for group, machines in ((GROUP, edges), ("keys", others or {})):
            for machine, address in machines.items():
                names = f"{machine}.vm.{APP}.internal {group}.process.{APP}.internal"
                lines.append(f"::ffff:{address} {names}")
        listed = [f"{machine} dfw" for machine in {**(others or {}), **edges}]
        records = [_record(listed[at : at + 30]) for at in range(0, len(listed), 30)]
        self.stop()
        (self._folder / "hosts").write_text("\n".join(lines) + "\n")
        (self._folder / "conf").write_text("".join(records))
        self._start()

    def _start(self) -> None:
        command = ["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces"]
        settings = {
            "port": self.server.port,
            "listen-address": HOST,
            "local": "/internal/",
            "addn-hosts": self._folder / "hosts",
            "conf-file": self._folder / "conf",
            "user": "",
            "pid-file": "",
        }
        with (self._folder / "dnsmasq.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in settings.items())], stderr=log
            )
        ends = time.monotonic() + ENOUGH_SECONDS
        while time.monotonic() < ends:
            assert self._process.poll() is None, (self._folder / "dnsmasq.log").read_text()
            with suppress(OSError), socket.create_connection((HOST, self.server.port)):
                return
            time.sleep(0.01)
        raise AssertionError((self._folder / "dnsmasq.log").read_text())

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._process = None


def _record(machines: Sequence[str]) -> str:
    """Return a TXT record, cut into strings in the middle of a name, as a long one is."""
    listed = ",".join(machines)
    strings = [f'"{listed[at : at + 20]}"' for at in range(0, len(listed), 20)]
    return f"txt-record=vms.{APP}.internal,{','.join(strings)}\n"


class FaultyDns:
    """A DNS that answers each question with what *answer* makes of it; None: with nothing."""

    def __init__(self, answer: Callable[[dns.message.Message], bytes | None]) -> None:
        self.answer = answer
        self.asked = self.answered = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)

    async def start(self, stack: AsyncExitStack) -> Listener:
        """Listen until *stack* closes."""
        loop = asyncio.get_running_loop()
        stack.callback(self._socket.close)
        self._socket.settimeout(0)
        self._socket.bind((HOST, 0))
        loop.add_reader(self._socket, self._read)
        stack.callback(loop.remove_reader, self._socket)
        return Listener(*self._socket.getsockname())

    def _read(self) -> None:
        data, address = self._socket.recvfrom(4096)
        self.asked += 1
        if told := self.answer(dns.message.from_wire(data)):
            self._socket.sendto(told, address)
            self.answered += 1


def with_code(code: dns.rcode.Rcode, question: dns.message.Message) -> bytes:
    """Return an answer without records."""
    told = dns.message.make_response(question)
    told.set_rcode(code)
    return told.to_wire()


FAULTS: dict[str, Callable[[dns.message.Message], bytes | None]] = {
    "SERVFAIL": partial(with_code, dns.rcode.SERVFAIL),
    "REFUSED": partial(with_code, dns.rcode.REFUSED),
    "NXDOMAIN": partial(with_code, dns.rcode.NXDOMAIN),
    "empty": partial(with_code, dns.rcode.NOERROR),
    "silence": lambda _: None,
    "garbage": lambda question: question.to_wire()[:3] + b"\xff" * 40,
}


class Platform:
    """An aggregator's sources on a world, kept by what a DNS says."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self.world = world
        self.port = free_port()
        self.sources = Sources()
        self.schedule = Schedule(SystemClock())
        self.servers: dict[str, TestServer] = {}
        self._stack = stack

    async def machine(self, address: str, region: str = "dfw") -> Edge:
        """Start an edge that stands on *address*."""
        edge = Edge(region, 10 + len(self.world.edges))
        edge.holds = True
        await self.serve(edge, address)
        self.world.edges.append(edge)
        return edge

    async def serve(self, edge: Edge, address: str) -> None:
        """Have *edge* answer on *address* too."""
        app = new_app(Random(3).randbytes)
        app.router.add_post("/v1/pull", edge.pull)
        server = TestServer(app, host=address, port=self.port)
        await server.start_server()
        self._stack.push_async_callback(server.close)
        self.servers[address] = server

    def url(self, machine: str) -> str:
        """Return the name of a source."""
        return Where(APP, GROUP, self.port).url(machine)

    async def keeper(self, server: Listener | None, *listed: str) -> Keeper:
        """Return what keeps the sources, with a DNS or without; begun."""
        names = Names(server) if server else None
        resolver = PrivateResolver(names, aiohttp.DefaultResolver()) if names else None
        session = await self._stack.enter_async_context(new_session(resolver=resolver))
        keeper = Keeper(
            listed=listed,
            finder=Finder(names, Where(APP, GROUP, self.port)) if names else None,
            sources=self.sources,
            store=SourceStore(self.world.writer, self.world.readers),
            schedule=self.schedule,
            clock=self.world.clock,
            hire=lambda url: self._puller(Client(session, url, Secret(TOKEN))),
        )
        await keeper.begin()
        return keeper

    def _puller(self, client: Client) -> Puller:
        world = self.world
        return Puller(
            client,
            store=world.store,
            fence=world.fence,
            intake=Intake(world.store, world.keyring, world.clock),
            safe=world.safe,
            clock=world.clock,
            entropy=Random(4).randbytes,
        )

    def run(self) -> None:
        """Run the schedule until the test ends."""
        task = asyncio.create_task(self.schedule.run())

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)

    async def paths(self, count: int) -> list[str]:
        """Return the path of every hit as soon as there are *count*."""
        ends = time.monotonic() + ENOUGH_SECONDS
        while True:
            found = await self.world.paths()
            if len(found) >= count or time.monotonic() > ends:
                return found
            await asyncio.sleep(0.01)
