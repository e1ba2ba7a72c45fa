"""Finding the machines of a process group in Fly's private DNS.

`vms.<app>.internal` lists the machines of all groups, `<group>.process.<app>.internal`
has the addresses of one group, `<machine>.vm.<app>.internal` that of a machine.  So a
machine of the group is one that is listed and whose address is among the group's.
Its own name stays the same wherever it is moved, and is therefore the source's.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aggregator.discovery.names import Names
from aggregator.discovery.rules import Found, read_machines
from milepost.errors import UnavailableError

LOOKUPS_AT_ONCE = 16
LOOK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Where:
    """Which machines to look for, and the port on which they hand over."""

    app: str
    group: str
    port: int

    def url(self, machine: str) -> str:
        """Return the source's name, which is where it is pulled."""
        return f"http://{self.name(machine)}:{self.port}"

    def name(self, machine: str) -> str:
        """Return under which name the DNS knows a machine."""
        return f"{machine}.vm.{self.app}.internal"


class Finder:
    """Looks for the machines of one group."""

    def __init__(self, names: Names, where: Where) -> None:
        self._names = names
        self._where = where

    async def find(self) -> Found:
        """Return who is there; UnavailableError if nobody can be told, or nobody is."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._look()
        except TimeoutError as error:
            msg = "looking for machines in the DNS took too long"
            raise UnavailableError(msg) from error

    async def _look(self) -> Found:
        where = self._where
        listing = read_machines(await self._names.texts(f"vms.{where.app}.internal"))
        members = await self._names.addresses(f"{where.group}.process.{where.app}.internal")
        if not listing.machines or not members:
            msg = f"the DNS names no machine of the app {where.app}"
            if listing.machines:
                msg = f"the DNS names no address of the group {where.group}"
            raise UnavailableError(msg)
        addresses = await self._addresses(sorted(listing.machines))
        urls = frozenset(
            where.url(machine) for machine, found in addresses.items() if found and found & members
        )
        if not urls:
            msg = f"the DNS places no machine in the group {where.group}"
            raise UnavailableError(msg)
        return Found(urls, whole=not listing.odd and None not in addresses.values())

    async def _addresses(self, machines: Iterable[str]) -> dict[str, frozenset[str] | None]:
        """Return the addresses of each machine; None where the DNS did not answer."""
        gate = asyncio.Semaphore(LOOKUPS_AT_ONCE)

        async def look(machine: str) -> frozenset[str] | None:
            async with gate:
                try:
                    return await self._names.addresses(self._where.name(machine))
                except UnavailableError:
                    return None

        machines = list(machines)
        return dict(zip(machines, await asyncio.gather(*map(look, machines)), strict=True))
