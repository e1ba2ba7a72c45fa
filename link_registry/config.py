"""The registry's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from milepost.config import EnvReader, Listener


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the registry is told at its start.  Read once, in `__main__`."""

    data: Path
    machine: str
    private: tuple[Listener, ...]
    tokens_file: Path
    litestream_socket: str  # empty, together with the next: nothing is replicated
    replica_url: str
    history_days: int  # for which changes are kept

    @property
    def database(self) -> Path:
        """Where the links are, as an absolute path."""
        return self.data.absolute() / "links.db"

    @property
    def replicated(self) -> bool:
        """Tell whether a litestream holds the database."""
        return bool(self.litestream_socket)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            socket, replica_url = read.replication()
            return cls(
                data=read.path("DATA"),
                machine=read.short_name("MACHINE", capitals=True),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                litestream_socket=socket,
                replica_url=replica_url,
                history_days=read.integer("LINKS_HISTORY_DAYS"),
            )
