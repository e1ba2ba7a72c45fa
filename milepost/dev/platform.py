"""A running platform's own knowledge: which process is where, and whether all is ready.

What it knows stands in fleet.json, rewritten at every change, and whenever somebody else has
changed the file or taken it away.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from milepost.client import new_session
from milepost.clock import Clock
from milepost.dev.child import Child, Tell
from milepost.dev.credentials import Credentials
from milepost.dev.plan import (
    AGGREGATOR_OFFSET,
    KEYS_OFFSET,
    LINKS_OFFSET,
    Options,
    edge_folder,
    local_url,
    private_port,
    public_port,
)
from milepost.dev.ready import missing
from milepost.fleet import Fleet, RegionEntry, Service, holds_fleet, write_fleet

STARTING_SECONDS, STEADY_SECONDS = 0.2, 1.0
PATIENCE_SECONDS = 10.0  # after so long without being ready, people are told why


def fleet_of(
    options: Options,
    credentials: Credentials,
    pids: dict[str, int | None],
    *,
    pid: int,
    ready: bool,
) -> Fleet:
    """Return what stands in fleet.json."""

    def central(name: str, offset: int, database: str) -> Service:
        url = local_url(options.base_port + offset)
        return Service(url=url, pid=pids.get(name), database=str(options.data / database))

    return Fleet(
        ready=ready,
        pid=pid,
        tokens={"operator": credentials.operator, "read": credentials.read},
        key_server=central("key_server", KEYS_OFFSET, "keys/keys.db"),
        link_registry=central("link_registry", LINKS_OFFSET, "links/links.db"),
        aggregator=central("aggregator", AGGREGATOR_OFFSET, "aggregator/combined.db"),
        regions=tuple(
            RegionEntry(
                region=region,
                url=local_url(public_port(options, region)),
                private_url=local_url(private_port(options, region)),
                pid=pids.get(f"edge-{region}"),
                log_dir=str(edge_folder(options, region) / "log"),
            )
            for region in options.regions
        ),
    )


class Platform:
    """Keeps fleet.json true."""

    def __init__(
        self, options: Options, credentials: Credentials, *, pid: int, clock: Clock, tell: Tell
    ) -> None:
        self.told = asyncio.Event()
        self._options, self._credentials = options, credentials
        self._pid, self._clock, self._tell = pid, clock, tell
        self._services: Sequence[Child] = ()
        self._beside: Sequence[Child] = ()
        self._ready = False
        self._waiting_since = time.monotonic()
        self._explained = ""

    def take(self, services: Sequence[Child], beside: Sequence[Child] = ()) -> None:
        """Remember the *services* that make up the platform, and what runs *beside* them."""
        self._services, self._beside = services, beside

    def changed(self) -> None:
        """Hear that a service was started or has ended: whether it is ready must be asked anew."""
        if self._ready:
            self._waiting_since = time.monotonic()
        self._ready = False
        self.publish()

    def end(self) -> None:
        """Begin the end."""
        self.told.set()
        self.changed()

    async def watch(self) -> None:
        """Ask every service whether it is ready, for as long as the platform runs."""
        async with new_session() as session:
            while not self.told.is_set():
                self._learn(await missing(session, self._services))
                for child in self._beside:
                    child.end_if_unreachable()
                await self._clock.sleep(STEADY_SECONDS if self._ready else STARTING_SECONDS)

    def publish(self) -> None:
        """Write fleet.json unless the file, as it is now, says all this already."""
        pids = {child.process.name: child.pid for child in self._services}
        fleet = fleet_of(self._options, self._credentials, pids, pid=self._pid, ready=self._ready)
        path = fleet_path(self._options)
        if holds_fleet(path, fleet):
            return
        try:
            write_fleet(path, fleet)
        except OSError as error:  # a full disk passes; the next look writes it
            self._tell(f"cannot write {path}: {error.strerror}")

    def _learn(self, reasons: dict[str, str]) -> None:
        if self.told.is_set():
            return
        if not reasons and not self._ready:
            self._tell(f"ready after {time.monotonic() - self._waiting_since:.1f} s")
        if reasons and self._ready:
            self._waiting_since = time.monotonic()
        self._ready = not reasons
        self.publish()
        self._explain(reasons)

    def _explain(self, reasons: dict[str, str]) -> None:
        text = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        late = time.monotonic() - self._waiting_since > PATIENCE_SECONDS
        if text and late and text != self._explained:
            self._tell(f"waiting for {text}")
            self._explained = text


def fleet_path(options: Options) -> Path:
    """Return where the fleet file of *options* is."""
    return options.data / "fleet.json"
