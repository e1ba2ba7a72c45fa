"""The edge's parts, as its three composition roots put them together.

`solo` is an edge in one process, `parent` one with workers, `child` a worker.
"""

import contextlib
import resource
from collections.abc import Callable
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from milepost.batch import ID_BYTES
from milepost.client import Client
from milepost.clock import SystemClock, system_entropy
from milepost.errors import UnavailableError
from milepost.health import Reasons
from milepost.litestream import Litestream
from milepost.logs import get_log
from milepost.loops import repeat
from milepost.service import Loop, listen
from milepost.tokens import TokenBook
from milepost.vocabulary import LifeId
from regional_logger.app import private_app
from regional_logger.bell import Bell
from regional_logger.config import Config
from regional_logger.handover import Handover, Source
from regional_logger.journal import Journal, Limits
from regional_logger.keyring import Keyring
from regional_logger.keys import KeyFollower
from regional_logger.links.feed import FeedFollower, Holder
from regional_logger.links.local import LocalLinks
from regional_logger.links.reporting import PositionReporter
from regional_logger.links.store import ReplicaStore
from regional_logger.meter import LifeInfo, Meter
from regional_logger.pressure import Pressure, Writing
from regional_logger.readers import ReaderBook
from regional_logger.replication import Keeper
from regional_logger.retire import Retirement, remove_stillborn
from regional_logger.shelf import Shelf
from regional_logger.stream import Origin

CLOCK = SystemClock()
BACKOFF_SECONDS_MAX = 10.0
LIST_SECONDS, SALT_SECONDS, FEED_SECONDS, POSITION_SECONDS = 0.2, 0.2, 0.5, 0.5
RETIRE_SECONDS, PRESSURE_SECONDS = 60.0, 1.0
DESCRIPTORS_KEPT = 512
REPLICA = "links.db"
GATEKEEPER_KEY_BYTES = 32
LINKS_SECONDS = 1.0

log = get_log(__name__)


def log_folder(config: Config) -> Path:
    """Return where the streams lie, as it is made and cleared at the start of an edge."""
    folder = config.data / "log"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_stillborn(folder)
    return folder


def litestream_of(config: Config) -> Litestream | None:
    """Return the litestream beside this edge, if there is one."""
    if not config.litestream_socket:
        return None
    return Litestream(Path(config.litestream_socket), config.replica_url)


async def key_follower(
    stack: contextlib.AsyncExitStack, config: Config, keyring: Keyring
) -> KeyFollower:
    """Return what follows the key server; the list of last time is taken."""
    client = await stack.enter_async_context(Client.connect(config.keys_url, config.token))
    follower = KeyFollower(
        client,
        keyring,
        identity=config.keys_identity,
        cache=config.data / "epochs.json",
        clock=CLOCK,
    )
    follower.load_cache()
    return follower


def replica_of(stack: contextlib.AsyncExitStack, config: Config) -> ReplicaStore:
    """Open the edge's copy of the links."""
    store = ReplicaStore.open(config.data / REPLICA)
    stack.push_async_callback(store.close)
    return store


def local_links(stack: contextlib.AsyncExitStack, config: Config) -> LocalLinks:
    """Return this process's links, of which nothing is known yet."""
    links = LocalLinks.beginning(
        system_entropy(GATEKEEPER_KEY_BYTES), config.links_memory_bytes, config.data / REPLICA
    )
    stack.callback(links.close)
    return links


async def feed_follower(
    stack: contextlib.AsyncExitStack, config: Config, store: ReplicaStore, holder: Holder
) -> FeedFollower:
    """Return what follows the registry; *holder* knows the links of last time."""
    client = await stack.enter_async_context(Client.connect(config.links_url, config.token))
    follower = FeedFollower(client, store, holder, CLOCK)
    try:
        await follower.load()
    except UnavailableError as error:  # the visitor comes first, and prefixes need no links
        log.warning("links.not_read", reason=str(error))
    return follower


async def position_reporter(
    stack: contextlib.AsyncExitStack, config: Config, follower: FeedFollower
) -> Loop:
    """Return the loop that tells the registry how far *follower* is."""
    client = await stack.enter_async_context(Client.connect(config.links_url, config.token))
    reporter = PositionReporter(
        client, follower, CLOCK, region=config.region, machine=config.machine
    )
    return repeat(
        CLOCK,
        POSITION_SECONDS,
        "feed.position",
        reporter.report,
        backoff_seconds_max=BACKOFF_SECONDS_MAX,
    )


async def journal_of(
    stack: contextlib.AsyncExitStack,
    config: Config,
    *,
    worker: int,
    keyring: Keyring,
    bell: Bell,
    keeper: Keeper,
) -> Journal:
    """Begin a life, and its first stream."""
    folder = config.data / "log"
    life = LifeInfo(LifeId(system_entropy(ID_BYTES)), worker, CLOCK.now())
    meter = Meter(folder, life)
    stack.callback(meter.close)
    journal = Journal(
        Origin(
            folder=folder,
            life=life,
            region=config.region,
            machine=config.machine,
            token=config.token,
        ),
        meter=meter,
        keyring=keyring,
        limits=Limits(
            budget_seconds=config.accept_budget_seconds if config.durable else 0.0,
            queue_records_max=config.queue_records_max,
            queue_bytes_max=config.queue_bytes_max,
            batch_records_max=config.batch_records_max,
            stream_bytes_max=config.stream_bytes_max,
            stream_age_ms_max=config.stream_age_ms_max,
        ),
        bell=bell,
        clock=CLOCK,
        entropy=system_entropy,
        keeper=keeper,
    )
    stack.push_async_callback(journal.close)
    await journal.start()
    return journal


def shelf_of(stack: contextlib.AsyncExitStack, config: Config) -> Shelf:
    """Return the shelf on this edge's folder."""
    shelf = Shelf(config.data / "log")
    stack.push_async_callback(shelf.close)
    return shelf


async def listen_privately(
    stack: contextlib.AsyncExitStack,
    config: Config,
    *,
    shelf: Shelf,
    bell: Bell,
    reasons: Callable[[], Reasons],
    metrics_of: Collector = REGISTRY,
) -> None:
    """Answer the other services."""
    handover = Handover(
        Source(config.region, config.machine),
        shelf=shelf,
        readers=ReaderBook(shelf.folder),
        bell=bell,
        clock=CLOCK,
    )
    app = private_app(
        tokens=TokenBook.load(config.tokens_file),
        handover=handover,
        reasons=reasons,
        entropy=system_entropy,
        metrics_of=metrics_of,
    )
    await listen(stack, app, config.private)


def housekeeping(
    config: Config, *, shelf: Shelf, writing: Writing, litestream: Litestream | None
) -> list[Loop]:
    """Return the loops that forget, make room, and keep litestream's list."""
    retirement = Retirement(shelf, CLOCK, config.log_keep_ms)
    pressure = Pressure(
        shelf.folder,
        journal=writing,
        retirement=retirement,
        clock=CLOCK,
        high_ratio=config.disk_high_ratio,
    )
    loops = [
        repeat(CLOCK, RETIRE_SECONDS, "retire", retirement.step),
        repeat(CLOCK, PRESSURE_SECONDS, "disk", pressure.step),
    ]
    if litestream is not None:
        loops.append(
            repeat(CLOCK, 1.0, "litestream", litestream.assert_held, backoff_seconds_max=5.0)
        )
    return loops


def connections_max() -> int:
    """Return how many visitors may be connected, so that descriptors are left for the log."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft // 2, soft - DESCRIPTORS_KEPT)


def reasons_of(keyring: Keyring, feed: FeedFollower) -> Reasons:
    """Return what this edge still lacks."""
    reasons = {}
    if keyring.listed is None:
        reasons["keys"] = "no list of epochs yet: records wait in memory"
    if not feed.synced:
        reasons["links"] = "no links yet: only prefix redirects are answered"
    return reasons
