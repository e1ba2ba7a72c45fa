"""fleet.json: where the services of one `milepost dev` are, and how to speak to them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from milepost.errors import ConfigError
from milepost.files import put_in_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One central service."""

    url: str
    pid: int | None
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEntry:
    """One region's edge."""

    region: str
    url: str
    private_url: str
    pid: int | None
    log_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All services of one machine."""

    ready: bool
    pid: int
    tokens: dict[str, str]
    key_server: Service
    link_registry: Service
    aggregator: Service
    regions: tuple[RegionEntry, ...]


def write_fleet(path: Path, fleet: Fleet) -> None:
    """Put *fleet* in the place of what *path* holds, at once and for its owner alone."""
    put_in_place(path, _written(fleet), synced=False)


def holds_fleet(path: Path, fleet: Fleet) -> bool:
    """Tell whether *path* is there and says exactly what `write_fleet` would write."""
    try:
        return path.read_bytes() == _written(fleet)
    except OSError:
        return False


def read_fleet(path: Path) -> Fleet:
    """Read *path*, or say how to get one."""
    try:
        told: dict[str, Any] = orjson.loads(path.read_bytes())
        services = {
            name: Service(**told[name]) for name in ("key_server", "link_registry", "aggregator")
        }
        return Fleet(
            ready=told["ready"],
            pid=told["pid"],
            tokens=told["tokens"],
            regions=tuple(RegionEntry(**entry) for entry in told["regions"]),
            **services,
        )
    except FileNotFoundError as error:
        msg = f"no fleet at {path}: start one with `milepost dev`, or name it with --fleet"
        raise ConfigError(msg) from error
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        msg = f"{path} is not a fleet file ({type(error).__name__})"
        raise ConfigError(msg) from error


def _written(fleet: Fleet) -> bytes:
    return orjson.dumps(asdict(fleet), option=orjson.OPT_INDENT_2) + b"\n"
