"""Reading settings: once, checked whole, every fault told together.

A service's `Config.from_env` opens an EnvReader and asks it for each setting by
its name in milepost.settings.  A fault does not stop the reading; all of them
are raised as one ConfigError when the reader closes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from milepost.errors import ConfigError
from milepost.settings import DAY_SECONDS, PREFIX, SETTINGS, Setting, known_names

SECRET_FILE_BYTES_MAX = 4_096
PORT_MAX = 65_535
MASKED = "********"
SECONDS_MAX = 3_660 * DAY_SECONDS
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS}

_SHORT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")


class Secret:
    """Text that must not be seen: it has no repr, and one way out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return MASKED

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class EnvReader:
    """Reads settings from *env* and remembers what was wrong.

    A level that is none is wrong whoever reads, because everybody logs.  Use as a
    context manager.  What a faulty setting yields is a placeholder that nobody
    sees, because closing the reader raises.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = {name: value for name, value in env.items() if name.startswith(PREFIX)}
        self._faults: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        self.text("LOG_LEVEL")
        unknown = sorted(set(self._env) - known_names())
        self._faults += [f"{name}: unknown to every service" for name in unknown]
        if self._faults:
            raise ConfigError("; ".join(self._faults))

    def fault(self, name: str, text: str) -> None:
        """Remember that setting *name* is wrong."""
        self._faults.append(f"{PREFIX}{name}: {text}")

    def text(self, name: str) -> str:
        """Return the setting, or its default."""
        setting = SETTINGS[name]
        value = self._env.get(PREFIX + name, "") or setting.default
        if value is None:
            self.fault(name, "missing")
            return ""
        if setting.choices and value not in setting.choices:
            self.fault(name, f"want one of {', '.join(setting.choices)}, got {value!r}")
        return value

    def short_name(self, name: str, *, capitals: bool = False) -> str:
        """Return the setting as a name that can be part of a path and of an address."""
        text = self.text(name)
        if not _SHORT_NAME.fullmatch(text.lower() if capitals else text):
            letters = "letters" if capitals else "small letters"
            self.fault(name, f"want {letters}, digits and hyphens, at most 63, got {text!r}")
        return text

    def integer(self, name: str) -> int:
        """Return the setting as a whole number within its limits."""
        setting, text = SETTINGS[name], self.text(name)
        if re.fullmatch(r"-?\d{1,15}", text) and setting.low <= int(text) <= setting.high:
            return int(text)
        if text:
            self.fault(name, f"want {setting.low}..{setting.high}, got {text!r}")
        return setting.low

    def seconds(self, name: str) -> int:
        """Return the setting, a length of time such as 90s, 30m, 48h or 30d, in seconds."""
        text = self.text(name)
        match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
        seconds = int(match[1]) * UNIT_SECONDS[match[2]] if match else -1
        if 0 <= seconds <= SECONDS_MAX:
            return seconds
        most = SECONDS_MAX // DAY_SECONDS
        self.fault(name, f"want a time such as 90s, 30m, 48h or 30d, at most {most}d, got {text!r}")
        return 0

    def path(self, name: str) -> Path:
        """Return the setting as a path."""
        return Path(self.text(name))

    def url(self, name: str) -> str:
        """Return the setting as an http address without a trailing slash."""
        text = self.text(name)
        if text and not _is_http_url(text):
            self.fault(name, f"want http://host:port, got {text!r}")
        return text.rstrip("/")

    def urls(self, name: str) -> tuple[str, ...]:
        """Return the setting as a list of http addresses, at least one and each once."""
        text = self.text(name)
        parts = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        for part in parts:
            if not _is_http_url(part):
                self.fault(name, f"want http://host:port, got {part!r}")
        if text and not parts:
            self.fault(name, f"want http://host:port, got {text!r}")
        if len(set(parts)) != len(parts):
            self.fault(name, "names an address twice")
        return parts

    def listeners(self, name: str) -> tuple[Listener, ...]:
        """Return the setting as addresses to listen on."""
        found = []
        for part in self.text(name).split(","):
            host, _, port = part.strip().rpartition(":")
            if not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > PORT_MAX:
                self.fault(name, f"want host:port, got {part!r}")
                continue
            found.append(Listener(host.strip("[]"), int(port)))
        return tuple(found)

    def origins(self, name: str) -> frozenset[str]:
        """Return the setting as a set of origins, written as browsers send them."""
        parts = [part.strip() for part in self.text(name).split(",") if part.strip()]
        for part in parts:
            if not _ORIGIN.fullmatch(part) or not _is_http_url(part):
                self.fault(name, f"want origins such as https://app.example, got {part!r}")
        return frozenset(parts)

    def replication(self) -> tuple[str, str]:
        """Return litestream's socket and the replicas' address; both are empty without it."""
        socket, url = self.text("LITESTREAM_SOCKET"), self.text("REPLICA_URL")
        if bool(socket) != bool(url):
            given, missing = ("LITESTREAM_SOCKET", "REPLICA_URL")[:: 1 if socket else -1]
            self.fault(missing, f"missing; it goes together with {PREFIX}{given}")
        if url and not re.fullmatch(r"(file:///|s3://[^/]).*", url):
            # Not repeated: there may be keys in it.
            self.fault("REPLICA_URL", "want file:///folder or s3://bucket/folder")
        return socket, url

    def hex_bytes(self, name: str, size: int) -> bytes:
        """Return the setting, *size* bytes written in hex."""
        text = self.text(name)
        if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", text):
            return bytes.fromhex(text)
        if text:
            self.fault(name, f"want {2 * size} hex digits")
        return bytes(size)

    def secret(self, name: str) -> Secret:
        """Return the secret, given in the environment or in the file that `_FILE` names."""
        direct = self._env.get(PREFIX + name, "")
        file = self._env.get(f"{PREFIX}{name}_FILE", "")
        if direct and file:
            self.fault(name, f"given twice, directly and as {PREFIX}{name}_FILE")
        if direct:
            return Secret(direct)
        if not file:
            self.fault(name, f"missing (or {PREFIX}{name}_FILE)")
            return Secret("")
        try:
            with Path(file).open("rb") as stream:
                content = stream.read(SECRET_FILE_BYTES_MAX + 1)
        except OSError as error:
            self.fault(f"{name}_FILE", f"cannot read it: {error.strerror}")
            return Secret("")
        if len(content) > SECRET_FILE_BYTES_MAX:
            self.fault(f"{name}_FILE", f"larger than {SECRET_FILE_BYTES_MAX} bytes")
        text = content.decode("utf-8", "replace").strip()
        if not text:
            self.fault(f"{name}_FILE", "the file is empty")
        return Secret(text)


def in_force(env: Mapping[str, str], reader: str) -> list[tuple[str, str, str]]:
    """Return (name, value, where from) of each setting that *reader* reads, secrets masked."""
    return [
        (PREFIX + name, *_shown(env, name, setting))
        for name, setting in SETTINGS.items()
        if reader in setting.readers
    ]


def _shown(env: Mapping[str, str], name: str, setting: Setting) -> tuple[str, str]:
    direct = env.get(PREFIX + name, "")
    file = env.get(f"{PREFIX}{name}_FILE", "") if setting.secret else ""
    if direct:
        return (MASKED if setting.secret else direct), "environment"
    if file:
        return MASKED, f"file {file}"
    if setting.default is None:
        return "", "missing"
    return setting.default, "default"


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
