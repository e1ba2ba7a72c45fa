"""How the object store is reached: its address and the surroundings that litestream has too.

Rules of this file:
- Pure.
- Nothing secret is told: not in a representation, an error, or a command's words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from milepost.litestream import replica_url
from milepost.settings import PREFIX

TOLD_CHARACTERS_MAX = 200

KEY_IDS = ("LITESTREAM_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID")
KEYS = ("LITESTREAM_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")
SESSIONS = ("AWS_SESSION_TOKEN",)
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINTS = ("LITESTREAM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_DEFAULT = "us-east-1"


@dataclass(frozen=True, slots=True)
class Access:
    """An object store's address, and the environment that holds its credentials."""

    url: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)

    def url_of(self, name: object) -> str:
        """Return the address of the replica *name*."""
        return replica_url(self.url, str(name))

    @property
    def folder(self) -> str:
        """Return the folder that is the store; empty: it is none."""
        parts = urlsplit(self.url)
        return unquote(parts.path) if parts.scheme == "file" else ""

    @property
    def bucket(self) -> tuple[str, str]:
        """Return the bucket, and the path in it below which the replicas are."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.path.strip("/")

    def s3(self) -> dict[str, str]:
        """Return what an S3 client has to be told; absent: its own defaults."""
        told = dict(parse_qsl(urlsplit(self.url).query))
        endpoint = told.get("endpoint") or self._first(ENDPOINTS)
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        found = {
            "access_key_id": self._first(KEY_IDS),
            "secret_access_key": self._first(KEYS),
            "session_token": self._first(SESSIONS),
            "region": told.get("region") or self._first(REGIONS) or REGION_DEFAULT,
            "endpoint": endpoint,
        }
        return {name: value for name, value in found.items() if value}

    def child_env(self) -> dict[str, str]:
        """Return litestream's environment: nothing of ours, nothing that it stumbles over."""
        return {
            name: value
            for name, value in self.env.items()
            if not name.startswith(PREFIX) and name != "AWS_CA_BUNDLE"
        }

    def told(self, text: str) -> str:
        """Return the last line of *text* that may be shown: short, and without secrets."""
        line = (text.strip().splitlines() or [""])[-1]
        for secret in self._secrets():
            line = line.replace(secret, "…")
        return line[:TOLD_CHARACTERS_MAX]

    def _secrets(self) -> list[str]:
        parts = urlsplit(self.url)
        user = parts.netloc.rpartition("@")[0]
        held = [self.env.get(name, "") for name in (*KEY_IDS, *KEYS, *SESSIONS)]
        return [each for each in (*held, parts.query, user) if each]

    def _first(self, names: tuple[str, ...]) -> str:
        return next((self.env[name] for name in names if self.env.get(name)), "")
