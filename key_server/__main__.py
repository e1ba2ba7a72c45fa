"""The key server as a process: `python -m key_server`, and what is done to its keys without it."""

import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from key_server.config import Config, KeysConfig
from key_server.copies import offline, words
from key_server.copies.names import DAY_MS
from key_server.issuing import Issuer, found
from key_server.serving import held_store, serve
from key_server.store import FILE
from key_server.wrapping import MASTER_KEY_BYTES, Vault
from milepost.clock import SystemClock, system_entropy
from milepost.errors import ConfigError, ServiceError
from milepost.service import run_service
from milepost.settings import PREFIX
from milepost.vocabulary import Millis


async def init(key_file: str, config: KeysConfig) -> None:
    """Make the identity and the first epochs unless they are there; print who this is."""
    vault = config.vault()
    try:
        async with held_store(config.data / FILE) as store:
            created = await found(store, vault, system_entropy)
            issuer = await Issuer.open(store, vault, config.period, SystemClock(), system_entropy)
            await issuer.look()
    except ServiceError as error:
        raise ConfigError(_mend(config, error)) from error
    line = orjson.dumps({"identity": issuer.identity.hex(), "created": created})
    sys.stdout.write(line.decode() + "\n")
    if created:  # standard output is for programs
        sys.stderr.write(words.founded(issuer.identity.hex(), key_file=key_file))


async def recover(copy_file: str, receipts_file: str, config: KeysConfig) -> None:
    """Begin in an empty folder with a copy of the keys; print what that costs."""
    vault, tools = config.vault(), offline.Tools(clock=SystemClock(), entropy=system_entropy)
    copy = offline.read_copy(Path(copy_file), vault)
    receipts = Path(receipts_file) if receipts_file else None
    try:
        async with held_store(config.data / FILE) as store:
            result = await offline.recover_from(
                store,
                vault,
                copy,
                receipts,
                period=config.period,
                grace_ms=config.limits.grace_ms,
                use=tools,
            )
    except ServiceError as error:
        raise ConfigError(_mend(config, error)) from error
    told = words.recovered(result, copy.made_ms, with_receipts=receipts is not None)
    sys.stdout.write(told)


async def rewrap(key_file: str, config: KeysConfig) -> None:
    """Wrap every secret under the master key in *key_file*, which is made if it is missing."""
    database = config.data / FILE
    clock = SystemClock()
    if not database.exists():
        msg = f"there is no {database}"
        raise ConfigError(msg)
    try:
        async with held_store(database) as store:
            new = Vault(offline.master_key_in(Path(key_file), system_entropy))
            tools = offline.Tools(clock=clock, entropy=system_entropy)
            changed = await offline.rewrap(store, config.vault(), new, tools)
    except ServiceError as error:
        raise ConfigError(_mend(config, error)) from error
    offline.require_no_past(database)
    until = Millis(clock.now() + config.backup_days * DAY_MS)
    sys.stdout.write(words.rewrapped(key_file, until, changed=changed))


def _mend(config: KeysConfig, error: ServiceError) -> str:
    return f"{config.data / FILE}: {error}; mend that and type the command again"


def _with_new_key(key_file: str, env: Mapping[str, str]) -> KeysConfig:
    """Make the master key on the way to the settings that need it."""
    names = (f"{PREFIX}MASTER_KEY", f"{PREFIX}MASTER_KEY_FILE")
    if any(env.get(name) for name in names):
        msg = "a master key is given already; take it out of the environment to make a new one"
        raise ConfigError(msg)
    # Everything else is looked at first, so that no key is made for nothing.
    config = KeysConfig.from_env({**env, names[0]: "00" * MASTER_KEY_BYTES})
    if (config.data / FILE).exists():
        msg = f"{config.data / FILE} is there, under a master key of its own; see `keys rewrap`"
        raise ConfigError(msg)
    offline.make_master_key(Path(key_file), system_entropy)
    return KeysConfig.from_env({**env, names[1]: key_file})


def _offline(
    command: Callable[[KeysConfig], Coroutine[Any, Any, None]],
    read_config: Callable[[Mapping[str, str]], KeysConfig] = KeysConfig.from_env,
) -> int:
    return run_service("keys", read_config, command, os.environ)


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    match list(arguments):
        case [] | ["check"]:
            return run_service("keys", Config.from_env, serve, os.environ)
        case ["init"]:
            return _offline(partial(init, ""))
        case ["init", key_file]:
            return _offline(partial(init, key_file), partial(_with_new_key, key_file))
        case ["recover", copy_file, *rest] if len(rest) <= 1:
            return _offline(partial(recover, copy_file, "".join(rest)))
        case ["rewrap", key_file]:
            return _offline(partial(rewrap, key_file))
    sys.stderr.write(
        "usage: python -m key_server "
        "[check | init [KEY_FILE] | recover COPY [RECEIPTS] | rewrap KEY_FILE]\n"
    )
    return 2


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
