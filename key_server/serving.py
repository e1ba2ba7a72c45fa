"""The key server as a service: composed of its parts, until it is told to end."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from key_server.api import KeyServer, key_server_app
from key_server.audit import AuditTrail
from key_server.config import Config
from key_server.copies.copier import Copier
from key_server.copies.place import FolderPlace
from key_server.destruction.destroyer import Destroyer
from key_server.destruction.guard import Asker
from key_server.destruction.store import DestructionStore
from key_server.issuing import Issuer
from key_server.jobs import look, run_jobs
from key_server.store import FILE, KeyStore
from milepost.client import Client, new_session
from milepost.clock import SystemClock, system_entropy, uptime_ms
from milepost.errors import ConfigError
from milepost.logs import get_log
from milepost.service import listen, run_until_told, sole_holder
from milepost.tokens import MacKeys, TokenBook

log = get_log(__name__)

READABLE_BY_OTHERS = 0o077


async def serve(config: Config) -> None:
    """Serve until told to stop."""
    database = config.keys.data / FILE
    if not database.exists():
        msg = f"there is no {database}; type `milepost keys init` to make it"
        raise ConfigError(msg)
    tokens, macs = TokenBook.load(config.tokens_file), _mac_keys(config.tokens_file)
    clock, vault = SystemClock(), config.keys.vault()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(held_store(database))
        issuer = await Issuer.open(store, vault, config.keys.period, clock, system_entropy)
        # Before anything is written: it goes by the newest moment that was written down.
        destroyer = await _destroyer(stack, config, issuer, store)
        await look(issuer)
        trail = AuditTrail(store, clock)
        stack.push_async_callback(trail.write_sums)
        copier = Copier(
            store,
            vault,
            issuer,
            place=FolderPlace(config.backup) if config.backup else None,
            keep_days=config.keys.backup_days,
            clock=clock,
            entropy=system_entropy,
        )
        server = KeyServer(
            issuer=issuer,
            store=store,
            vault=vault,
            clock=clock,
            trail=trail,
            destroyer=destroyer,
            copier=copier,
            macs=macs,
        )
        await listen(stack, key_server_app(server, tokens, system_entropy), config.private)
        await run_until_told([run_jobs(server, config.keys.period, clock)])


@contextlib.asynccontextmanager
async def held_store(database: Path) -> AsyncIterator[KeyStore]:
    """Lend the rows of *database* to one process at a time."""
    with sole_holder(database.parent / "lock", f"the key server's folder {database.parent}"):
        async with KeyStore.open(database) as store:
            yield store


def _mac_keys(tokens_file: Path) -> MacKeys:
    macs = MacKeys.load(tokens_file)
    if macs.without:
        log.warning("tokens.no_mac_key", edges=list(macs.without), file=str(tokens_file))
    if tokens_file.stat().st_mode & READABLE_BY_OTHERS:
        log.warning("tokens.readable_by_others", file=str(tokens_file))
    return macs


async def _destroyer(
    stack: contextlib.AsyncExitStack, config: Config, issuer: Issuer, store: KeyStore
) -> Destroyer:
    clock, asker = SystemClock(), None
    if config.aggregator_url:
        session = await stack.enter_async_context(new_session())
        client = Client(session, config.aggregator_url, config.token)
        asker = Asker(client, config.keys.limits, clock, uptime_ms)
    return await Destroyer.open(
        issuer=issuer,
        store=DestructionStore(store),
        limits=config.keys.limits,
        asker=asker,
        clock=clock,
        counter=uptime_ms,
    )
