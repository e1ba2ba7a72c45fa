"""What the aggregator is made of, put together out of its settings and what it stands on."""

from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from aggregator.access.tagged import TaggedLinks
from aggregator.api import SCOPES
from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.config import Config
from aggregator.discovery.finding import Finder
from aggregator.discovery.keeper import Keeper
from aggregator.discovery.names import Names
from aggregator.discovery.sources import Sources
from aggregator.discovery.store import SourceStore
from aggregator.fencing.fence import MARK_SECONDS, Fence
from aggregator.forgetting.ages.retention import Retention
from aggregator.forgetting.beside import StoredRules
from aggregator.forgetting.erasing import Eraser
from aggregator.forgetting.handlers import Forgetting
from aggregator.hashes.asking import HashAsker
from aggregator.hashes.store import HashStore
from aggregator.limits.counting import LimitCounter
from aggregator.limits.store import LimitStore
from aggregator.opening.keyring import Keyring
from aggregator.opening.late import LateOpener
from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Replica, Safe
from aggregator.reclassifying.reclassifier import Reclassifier
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.access import Access
from aggregator.replicas.objects import Objects
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.store import ReplicaStore
from aggregator.replicas.sweeping import Sweeper
from aggregator.replicas.taking import CopyTaker
from aggregator.rolling.roller import Roller
from aggregator.store import Store
from milepost.access.keeper import NOTE_SECONDS, TokenKeeper
from milepost.access.store import TokenStore
from milepost.client import Client
from milepost.clock import SystemClock, system_entropy
from milepost.database import QueryReaders, Readers, Writer
from milepost.litestream import Litestream
from milepost.loops import repeat
from milepost.schedule import Schedule
from milepost.tokens import TokenBook

KEYS_SECONDS, REPLICATE_SECONDS, HOLD_SECONDS, BACKOFF_SECONDS_MAX = 1.0, 1.0, 1.0, 5.0

Loop = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything else stands on: opened before, and closed after it."""

    clock: SystemClock
    writer: Writer
    readers: Readers
    queries: QueryReaders  # for questions of callers, which may take long
    fence: Fence
    names: Names | None  # None: no name is looked up in a DNS of its own
    session: aiohttp.ClientSession


class Parts:
    """Everything the aggregator does."""

    def __init__(self, config: Config, ground: Ground) -> None:
        """Put together what is named in *config*."""
        self._config = config
        self._ground = ground
        self._store = Store(ground.writer, ground.readers)
        self._keys = Client(ground.session, config.keys_url, config.token)
        self._keyring = Keyring(self._keys, config.keys_identity, ground.clock)
        self._intake = Intake(self._store, self._keyring, ground.clock)
        self._litestream = _litestream(config)
        self._safe = Safe(
            self._store, Replica(self._litestream, config.database) if self._litestream else None
        )
        self._sources = Sources()
        self._sweeper = self._new_sweeper()
        self._limits = self._new_limits()
        self._eraser = self._new_eraser()
        self._retention = Retention(
            config.ages,
            ground.writer,
            ground.queries,
            ground.clock,
            counts=self._limits is not None,
        )
        self._reckoner = Reckoner(ground.readers, sweeps=self._sweeper is not None)
        self._tokens: TokenKeeper | None = None  # until somebody may call

    async def schedule(self) -> Schedule:
        """Return every job, each of them due at once."""
        await self._eraser.begin()  # before anything is let in
        schedule = Schedule(self._ground.clock)
        schedule.add("waiting", LateOpener(self._store, self._keyring).step)
        schedule.add("hashes", self._asker().step)
        keeper = self._keeper(schedule)
        await keeper.begin()
        schedule.add("discover", keeper.step)
        if self._sweeper is not None:
            schedule.add("replicas", self._sweeper.step)
        if self._limits is not None:
            schedule.add("limits", self._limits.step)
        schedule.add("reconcile", self._reckoner.step)
        schedule.add("roll", Roller(self._ground.writer).step)
        schedule.add("erase", self._eraser.step)
        schedule.add("retention", self._retention.step)
        return schedule

    def app(self, tokens: TokenBook) -> web.Application:
        """Return what answers on the private listener, to *tokens* and those that are kept."""
        ground = self._ground
        kept = TokenStore(self._store.change, ground.readers)
        self._tokens = TokenKeeper(kept, tokens, ground.clock, system_entropy, SCOPES)
        return build_app(
            tokens=tokens,
            readers=self._ground.readers,
            store=self._store,
            keyring=self._keyring,
            sources=self._sources,
            reckoner=self._reckoner,
            clock=self._ground.clock,
            entropy=system_entropy,
            sweeper=self._sweeper,
            limits=self._limits,
            keeper=self._tokens,
            tagged=TaggedLinks(self._registry(), ground.clock),
            origins=self._config.origins,
            asker=Asker(
                self._ground.queries,
                Allowance(rows=self._config.query_rows, seconds=self._config.query_seconds),
            ),
            forgetting=Forgetting(
                self._eraser,
                self._retention,
                Reclassifier(self._ground.writer, self._ground.queries),
                self._ground.queries,
                self._ground.clock,
            ),
        )

    def loops(self) -> list[Loop]:
        """Return what goes on all the time beside the jobs."""
        clock = self._ground.clock
        loops = [
            repeat(clock, KEYS_SECONDS, "keys", self._keyring.watch),
            repeat(clock, MARK_SECONDS, "mark", self._ground.fence.mark),
        ]
        if self._tokens is not None:
            loops.append(repeat(clock, NOTE_SECONDS, "tokens", self._tokens.note_used))
        if self._litestream is None:
            return loops
        return loops + [
            repeat(clock, seconds, name, step, backoff_seconds_max=BACKOFF_SECONDS_MAX)
            for seconds, name, step in (
                (HOLD_SECONDS, "litestream", self._litestream.assert_held),
                (REPLICATE_SECONDS, "replicate", self._safe.replicate),
            )
        ]

    def _asker(self) -> HashAsker:
        hashes = HashStore(self._ground.writer, self._ground.readers)
        return HashAsker(self._keys, hashes, self._keyring, self._ground.clock, system_entropy)

    def _keeper(self, schedule: Schedule) -> Keeper:
        config, ground = self._config, self._ground
        return Keeper(
            listed=config.sources,
            finder=Finder(ground.names, config.where) if ground.names and config.where else None,
            sources=self._sources,
            store=SourceStore(ground.writer, ground.readers),
            schedule=schedule,
            clock=ground.clock,
            hire=self._puller,
        )

    def _puller(self, url: str) -> Puller:
        return Puller(
            Client(self._ground.session, url, self._config.token),
            store=self._store,
            fence=self._ground.fence,
            intake=self._intake,
            safe=self._safe,
            clock=self._ground.clock,
            entropy=system_entropy,
        )

    def _new_eraser(self) -> Eraser:
        config, ground = self._config, self._ground
        access = Access(config.replica_url, config.store_env) if config.replica_url else None
        return Eraser(
            config.database,
            writer=ground.writer,
            readers=ground.readers,
            hits=self._store,
            clock=ground.clock,
            stored=StoredRules(Objects(access)) if access else None,
            counts=self._limits is not None,
        )

    def _registry(self) -> Client | None:
        config = self._config
        if not config.links_url:
            return None
        return Client(self._ground.session, config.links_url, config.token)

    def _new_limits(self) -> LimitCounter | None:
        """Return what counts clicks against their limits; without a registry nobody sets any."""
        ground, client = self._ground, self._registry()
        if client is None:
            return None
        return LimitCounter(client, LimitStore(ground.writer, ground.readers), system_entropy)

    def _new_sweeper(self) -> Sweeper | None:
        """Return what sweeps the object store; without one there is nothing that was lost."""
        config, ground = self._config, self._ground
        if not config.replica_url:
            return None
        access = Access(config.replica_url, config.store_env)
        restorer = Restorer(access, config.litestream, config.scratch)
        restorer.clear()
        return Sweeper(
            Objects(access),
            restorer=restorer,
            taker=CopyTaker(self._store, self._intake),
            store=ReplicaStore(ground.writer, ground.readers),
            pullers=self._sources,
            clock=ground.clock,
        )


def _litestream(config: Config) -> Litestream | None:
    if not config.litestream_socket:
        return None
    litestream = Litestream(Path(config.litestream_socket), config.replica_url)
    litestream.hold(config.database, "combined")
    return litestream
