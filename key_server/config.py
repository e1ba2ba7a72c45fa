"""The key server's settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from key_server.periods import DAY, Period, parse_period
from key_server.wrapping import MASTER_KEY_BYTES
from milepost.config import EnvReader, Listener, Secret
from milepost.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class KeysConfig:
    """What it takes to open the keys.  Nothing more is needed for `init`."""

    data: Path
    master_key: Secret  # 64 hex digits
    period: Period
    backup_days: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            return cls.read(read)

    @classmethod
    def read(cls, read: EnvReader) -> Self:
        """Read them with what other settings are read with."""
        return cls(
            data=read.path("DATA"),
            master_key=_master_key(read),
            period=_period(read),
            backup_days=read.integer("KEYS_BACKUP_DAYS"),
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """What it takes to serve.  Read once, in `__main__`."""

    keys: KeysConfig
    private: tuple[Listener, ...]
    tokens_file: Path
    backup: Path | None  # where copies are put, if anywhere

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            return cls(
                keys=KeysConfig.read(read),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                backup=_backup(read),
            )


def _master_key(read: EnvReader) -> Secret:
    secret = read.secret("MASTER_KEY")
    if secret and not re.fullmatch(rf"[0-9a-fA-F]{{{2 * MASTER_KEY_BYTES}}}", secret.reveal()):
        read.fault("MASTER_KEY", f"want {2 * MASTER_KEY_BYTES} hex digits")
    return secret


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
