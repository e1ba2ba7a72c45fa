"""The plan of a platform on one machine: ports, folders, and each process's surroundings.

Rules of this file:
- Pure.  The same options always give the same plan.
- Every listener is on loopback.
- Secrets are named by file; none stands in a command or in an environment, but for
  the token of the cleanup backend where a person has put it there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from milepost.errors import ConfigError
from milepost.settings import PREFIX, SETTINGS

LOOPBACK = "127.0.0.1"
REGIONS_MAX = 50
BASE_PORT_MIN, BASE_PORT_MAX = 1_024, 65_000
KEYS_OFFSET, LINKS_OFFSET, AGGREGATOR_OFFSET, PRIVATE_OFFSET = 100, 101, 102, 110

_CLEANUP_TOKEN = (f"{PREFIX}CLEANUP_TOKEN", f"{PREFIX}CLEANUP_TOKEN_FILE")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Stage(IntEnum):
    """When a process is stopped: visitors first, replication last."""

    EDGE = 0
    AGGREGATOR = 1
    CENTRAL = 2
    LITESTREAM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person chose."""

    data: Path  # absolute
    regions: tuple[str, ...] = ("dfw", "cdg", "nrt")
    base_port: int = 8080
    litestream: bool = True
    workers: int | None = None  # of each edge; None: as the environment says


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    stage: Stage
    ready_url: str = ""  # empty: nobody asks whether it is ready
    socket: Path | None = None  # left by a dead one, it would be in the way of the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the plan has to be told about this machine and this run."""

    env: Mapping[str, str]  # as given to `milepost dev`
    python: str
    identity: str  # the key server's, in hex
    litestream: str  # the program; empty: no replication
    sockets: Path
    replicas: Path  # as litestream can be told it: `replicas_link` in milepost.dev.ground


def regions_of(text: str) -> tuple[str, ...]:
    """Return the regions in a comma-separated list, or say what is wrong with it."""
    regions = tuple(part.strip() for part in text.split(","))
    for region in regions:
        if not _REGION.fullmatch(region):
            msg = f"--regions: {region!r} is no region; want short names such as dfw,cdg,nrt"
            raise ConfigError(msg)
    if len(set(regions)) < len(regions) or len(regions) > REGIONS_MAX:
        msg = f"--regions: want different names, at most {REGIONS_MAX} of them"
        raise ConfigError(msg)
    return regions


def local_url(port: int) -> str:
    """Return the address of *port* on this machine."""
    return f"http://{LOOPBACK}:{port}"


def public_port(options: Options, region: str) -> int:
    """Return where visitors of *region* knock."""
    return options.base_port + options.regions.index(region)


def private_port(options: Options, region: str) -> int:
    """Return where the other services find the edge of *region*."""
    return options.base_port + PRIVATE_OFFSET + options.regions.index(region)


def ports(options: Options) -> tuple[int, ...]:
    """Return every port of the platform."""
    central = (KEYS_OFFSET, LINKS_OFFSET, AGGREGATOR_OFFSET)
    return (
        *(public_port(options, region) for region in options.regions),
        *(options.base_port + offset for offset in central),
        *(private_port(options, region) for region in options.regions),
    )


def folders(options: Options) -> tuple[Path, ...]:
    """Return the folders that must be there before anything starts."""
    central = ("keys", "links", "aggregator", "logs", "run")
    return (
        *(options.data / name for name in central),
        *(edge_folder(options, region) for region in options.regions),
        replicas_folder(options),
    )


def edge_folder(options: Options, region: str) -> Path:
    """Return the data folder of the edge of *region*."""
    return options.data / "edges" / region


def replicas_folder(options: Options) -> Path:
    """Return where the copies of all databases are."""
    return options.data / "replicas"


def replicated(options: Options) -> tuple[str, ...]:
    """Return the services that litestream copies.  The key server's secrets must not be."""
    return (*(f"edge-{region}" for region in options.regions), "aggregator", "link_registry")


def given_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return *env* without what `milepost dev` decides itself, and without secrets.

    A secret given twice, directly and by file, is a fault; and each service gets only its own.
    """
    return {name: value for name, value in env.items() if name not in _OWN_NAMES}


def keys_env(options: Options, env: Mapping[str, str]) -> dict[str, str]:
    """Return the key server's environment."""
    return {
        **given_env(env),
        **_common(options, "keys", KEYS_OFFSET),
        "MILEPOST_MASTER_KEY_FILE": str(options.data / "secrets" / "master.key"),
        "MILEPOST_AGGREGATOR_URL": local_url(options.base_port + AGGREGATOR_OFFSET),
        "MILEPOST_TOKEN_FILE": str(options.data / "secrets" / "key_server"),
    }


def services(options: Options, here: Surroundings) -> tuple[Process, ...]:
    """Return the services, in the order of the fleet file."""
    return (
        _service(options, here, "key_server", keys_env(options, here.env)),
        _service(options, here, "link_registry", _links_env(options, here)),
        _service(options, here, "aggregator", _aggregator_env(options, here)),
        *(_edge(options, here, region) for region in options.regions),
    )


def litestreams(options: Options, here: Surroundings) -> tuple[Process, ...]:
    """Return one litestream for each service that has one beside it."""
    if not here.litestream:
        return ()
    env = {name: value for name, value in here.env.items() if not name.startswith(PREFIX)}
    env.pop("AWS_CA_BUNDLE", None)  # litestream refuses to start with it
    return tuple(
        Process(
            name=f"litestream-{name}",
            command=(here.litestream, "replicate", "-config", str(litestream_config(here, name))),
            env=env,
            log=options.data / "logs" / f"litestream-{name}.log",
            stage=Stage.LITESTREAM,
            socket=litestream_socket(here, name),
        )
        for name in replicated(options)
    )


def litestream_socket(here: Surroundings, name: str) -> Path:
    """Return where the litestream beside service *name* takes orders."""
    return here.sockets / f"{name}.sock"


def litestream_config(here: Surroundings, name: str) -> Path:
    """Return the configuration file of the litestream beside service *name*."""
    return here.sockets / f"{name}.yml"


def _service(options: Options, here: Surroundings, name: str, env: Mapping[str, str]) -> Process:
    stage = Stage.AGGREGATOR if name == "aggregator" else Stage.CENTRAL
    return Process(
        name=name,
        command=(here.python, "-P", "-m", name),
        env=env,
        log=options.data / "logs" / f"{name}.log",
        stage=stage,
        ready_url=f"http://{env['MILEPOST_PRIVATE_LISTEN']}/readyz",
    )


def _edge(options: Options, here: Surroundings, region: str) -> Process:
    name = f"edge-{region}"
    env = {
        **given_env(here.env),
        **_common(options, f"edges/{region}", private_port(options, region) - options.base_port),
        **_replication(here, name),
        "MILEPOST_REGION": region,
        "MILEPOST_LISTEN": f"{LOOPBACK}:{public_port(options, region)}",
        "MILEPOST_TOKEN_FILE": str(options.data / "secrets" / name),
        "MILEPOST_KEYS_URL": local_url(options.base_port + KEYS_OFFSET),
        "MILEPOST_KEYS_IDENTITY": here.identity,
        "MILEPOST_LINKS_URL": local_url(options.base_port + LINKS_OFFSET),
    }
    if options.workers is not None:
        env["MILEPOST_WORKERS"] = str(options.workers)
    return Process(
        name=name,
        command=(here.python, "-P", "-m", "regional_logger"),
        env=env,
        log=options.data / "logs" / f"{name}.log",
        stage=Stage.EDGE,
        ready_url=f"http://{env['MILEPOST_PRIVATE_LISTEN']}/readyz",
    )


def _links_env(options: Options, here: Surroundings) -> dict[str, str]:
    return {
        **given_env(here.env),
        **_common(options, "links", LINKS_OFFSET),
        **_replication(here, "link_registry"),
        # The one secret that is not of this platform: it is for somebody else's backend.
        **{name: here.env[name] for name in _CLEANUP_TOKEN if name in here.env},
    }


def _aggregator_env(options: Options, here: Surroundings) -> dict[str, str]:
    edges = (local_url(private_port(options, region)) for region in options.regions)
    return {
        **given_env(here.env),
        **_common(options, "aggregator", AGGREGATOR_OFFSET),
        **_replication(here, "aggregator"),
        "MILEPOST_TOKEN_FILE": str(options.data / "secrets" / "aggregator"),
        "MILEPOST_KEYS_URL": local_url(options.base_port + KEYS_OFFSET),
        "MILEPOST_KEYS_IDENTITY": here.identity,
        "MILEPOST_LINKS_URL": local_url(options.base_port + LINKS_OFFSET),
        "MILEPOST_SOURCES": ",".join(edges),
        "MILEPOST_LITESTREAM": here.litestream,
    }


def _common(options: Options, folder: str, offset: int) -> dict[str, str]:
    return {
        "MILEPOST_DATA": str(options.data / folder),
        "MILEPOST_PRIVATE_LISTEN": f"{LOOPBACK}:{options.base_port + offset}",
        "MILEPOST_TOKENS_FILE": str(options.data / "secrets" / "tokens.json"),
    }


def _replication(here: Surroundings, name: str) -> dict[str, str]:
    if not here.litestream:
        return {}
    return {
        "MILEPOST_LITESTREAM_SOCKET": str(litestream_socket(here, name)),
        # One store for all: the aggregator reads there what lost edges have left.
        "MILEPOST_REPLICA_URL": f"file://{here.replicas}",
    }


def _own_names() -> Iterator[str]:
    for name, setting in SETTINGS.items():
        if setting.secret:
            yield f"{PREFIX}{name}"
            yield f"{PREFIX}{name}_FILE"
    for name in (
        *("DATA", "REGION", "LISTEN", "PRIVATE_LISTEN", "TOKENS_FILE", "KEYS_URL", "LINKS_URL"),
        *("AGGREGATOR_URL", "KEYS_IDENTITY", "SOURCES", "LITESTREAM_SOCKET", "REPLICA_URL"),
        "LITESTREAM",
    ):
        yield f"{PREFIX}{name}"


_OWN_NAMES = frozenset(_own_names())
