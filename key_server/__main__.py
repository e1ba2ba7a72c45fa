"""The key server as a process: `python -m key_server`, and `python -m key_server init`."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import orjson

from key_server.api import KeyServer, key_server_app
from key_server.audit import AuditTrail
from key_server.config import Config, KeysConfig
from key_server.destruction.destroyer import Destroyer
from key_server.destruction.guard import Asker
from key_server.destruction.store import DestructionStore
from key_server.issuing import Issuer, found
from key_server.jobs import look, run_jobs
from key_server.store import FILE, KeyStore
from key_server.wrapping import Vault
from milepost.client import Client, new_session
from milepost.clock import SystemClock, system_entropy, uptime_ms
from milepost.errors import ConfigError, ServiceError
from milepost.logs import get_log
from milepost.service import listen, run_service, run_until_told, sole_holder
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
    clock, vault = SystemClock(), _vault(config.keys)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(_held_store(database))
        issuer = await Issuer.open(store, vault, config.keys.period, clock, system_entropy)
        # Before anything is written: it goes by the newest moment that was written down.
        destroyer = await _destroyer(stack, config, issuer, store)
        await look(issuer)
        trail = AuditTrail(store, clock)
        stack.push_async_callback(trail.write_sums)
        server = KeyServer(
            issuer=issuer,
            store=store,
            vault=vault,
            clock=clock,
            trail=trail,
            destroyer=destroyer,
            macs=macs,
        )
        await listen(stack, key_server_app(server, tokens, system_entropy), config.private)
        await run_until_told([run_jobs(issuer, trail, destroyer, config.keys.period, clock)])


async def init(config: KeysConfig) -> None:
    """Make the identity and the first epochs unless they are there; print who this is."""
    vault = _vault(config)
    try:
        async with _held_store(config.data / FILE) as store:
            created = await found(store, vault, system_entropy)
            issuer = await Issuer.open(store, vault, config.period, SystemClock(), system_entropy)
            await issuer.look()
    except ServiceError as error:
        msg = f"{config.data / FILE}: {error}; mend that and type the command again"
        raise ConfigError(msg) from error
    line = orjson.dumps({"identity": issuer.identity.hex(), "created": created})
    sys.stdout.write(line.decode() + "\n")


@contextlib.asynccontextmanager
async def _held_store(database: Path) -> AsyncIterator[KeyStore]:
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
        asker = Asker(client, config.limits, clock)
    return await Destroyer.open(
        issuer=issuer,
        store=DestructionStore(store),
        limits=config.limits,
        asker=asker,
        clock=clock,
        counter=uptime_ms,
    )


def _vault(config: KeysConfig) -> Vault:
    return Vault(bytes.fromhex(config.master_key.reveal()))


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    match list(arguments):
        case [] | ["check"]:
            return run_service("keys", Config.from_env, serve, os.environ)
        case ["init"]:
            return run_service("keys", KeysConfig.from_env, init, os.environ)
    sys.stderr.write("usage: python -m key_server [init | check]\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
