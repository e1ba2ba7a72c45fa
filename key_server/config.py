"""The key server's settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from key_server.destruction.rules import Limits
from key_server.periods import DAY, Period, parse_period
from key_server.wrapping import MASTER_KEY_BYTES, Vault
from milepost.config import EnvReader, Listener, Secret
from milepost.errors import ConfigError
from milepost.settings import DAY_SECONDS


@dataclass(frozen=True, kw_only=True)
class KeysConfig:
    """What it takes to open the keys.  Nothing more is needed for `init`."""

    data: Path
    master_key: Secret  # 64 hex digits
    period: Period
    backup_days: int
    limits: Limits

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            return cls.read(read)

    def vault(self) -> Vault:
        """Return what wraps and unwraps under the master key."""
        return Vault(bytes.fromhex(self.master_key.reveal()))

    @classmethod
    def read(cls, read: EnvReader) -> Self:
        """Read them with what other settings are read with."""
        return cls(
            data=read.path("DATA"),
            master_key=_master_key(read),
            period=_period(read),
            backup_days=read.integer("KEYS_BACKUP_DAYS"),
            limits=_limits(read),
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """What it takes to serve.  Read once, in `__main__`."""

    keys: KeysConfig
    private: tuple[Listener, ...]
    tokens_file: Path
    aggregator_url: str  # empty: nobody to ask, and no record key is destroyed by itself
    token: Secret  # shown to the aggregator
    backup: Path | None  # where copies are put, if anywhere

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            url = read.url("AGGREGATOR_URL")
            return cls(
                keys=KeysConfig.read(read),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                aggregator_url=url,
                token=read.secret("TOKEN") if url else Secret(""),
                backup=_backup(read),
            )


def _master_key(read: EnvReader) -> Secret:
    secret = read.secret("MASTER_KEY")
    if secret and not re.fullmatch(rf"[0-9a-fA-F]{{{2 * MASTER_KEY_BYTES}}}", secret.reveal()):
        read.fault("MASTER_KEY", f"want {2 * MASTER_KEY_BYTES} hex digits")
    return secret


def _limits(read: EnvReader) -> Limits:
    grace, keep = read.seconds("SALT_GRACE"), read.seconds("EPOCH_KEEP")
    if keep < grace:
        read.fault("EPOCH_KEEP", "shorter than MILEPOST_SALT_GRACE: stragglers could not be opened")
    days = read.integer("KEYS_BACKUP_DAYS")
    return Limits(grace_ms=grace * 1000, keep_ms=keep * 1000, backup_ms=days * DAY_SECONDS * 1000)


def _backup(read: EnvReader) -> Path | None:
    text = read.text("KEYS_BACKUP")
    if "://" in text:  # not repeated: there may be keys in it
        read.fault("KEYS_BACKUP", "want a folder: copies do not go to an object store yet")
    return Path(text) if text else None


def _period(read: EnvReader) -> Period:
    try:
        return parse_period(read.text("EPOCH"))
    except ConfigError as error:
        read.fault("EPOCH", str(error))
        return Period(DAY)
