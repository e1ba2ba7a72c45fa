"""The backend that cleans up: one call to delete one thing.

Rules of this file:
- Where a call goes is judged by the address that its socket is made for, at the
  moment it is made: neither a name that leads elsewhere the next time nor an
  address written in another form gets around it.
- Each call has a connection of its own.  On one that is kept, a backend that
  answers twice would answer the next call before it was read.
- What the backend says is not read beyond its status, and no redirect is followed.
"""

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from milepost.config import Secret

TRY_SECONDS_MAX, CONNECT_SECONDS_MAX = 10.0, 3.0
HEADER_BYTES_MAX = 8_190
SUCCESS = range(200, 300)
GONE = 410
NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """Which backend, and what is shown to it."""

    url: str
    token: Secret
    allow_private: bool


class RefusedAddressError(OSError):
    """The backend's name leads to an address that this registry may not call."""


def is_public(address: str) -> bool:
    """Tell whether *address* is one of the internet's, also behind what is translated to IPv4."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = _inner(found)
        if inner is not None:
            return _is_global(inner)
    return _is_global(found)


def _is_global(found: IPv4Address | IPv6Address) -> bool:
    return found.is_global and not found.is_multicast and not found.is_reserved


def _inner(found: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that *found* stands for."""
    if found in NAT64:
        return IPv4Address(int(found) & 0xFFFF_FFFF)
    if found.teredo is not None:
        return found.teredo[1]
    return found.ipv4_mapped or found.sixtofour


def delete_url(base: str, cleanup_id: str) -> URL:
    """Return where the thing named *cleanup_id* is deleted: the id is one segment."""
    return URL(f"{base}/delete/{quote(cleanup_id, safe='')}", encoded=True)


class Backend:
    """Calls one backend."""

    def __init__(
        self, session: aiohttp.ClientSession, target: Target, try_seconds_max: float
    ) -> None:
        self._session = session
        self._url = target.url
        self._headers = {"Authorization": f"Bearer {target.token.reveal()}"}
        self._timeout = aiohttp.ClientTimeout(
            total=try_seconds_max, sock_connect=CONNECT_SECONDS_MAX
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, target: Target, *, try_seconds_max: float = TRY_SECONDS_MAX
    ) -> AsyncIterator[Self]:
        """Lend a caller of *target*."""
        connector = aiohttp.TCPConnector(
            force_close=True,
            use_dns_cache=False,
            limit=0,  # who calls has a bound of its own
            socket_factory=_any_socket if target.allow_private else _public_socket,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        ) as session:
            yield cls(session, target, try_seconds_max)

    async def delete(self, cleanup_id: str) -> str:
        """Have one thing deleted; return an empty text, or why that failed."""
        try:
            async with self._session.post(
                delete_url(self._url, cleanup_id),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                done = response.status in SUCCESS or response.status == GONE
                response.close()  # its body may be endless
                return "" if done else f"status {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _why(error)


def _why(error: BaseException) -> str:
    """Return the kind of *error*: its text may hold the address, and what was sent."""
    if isinstance(getattr(error, "os_error", error), RefusedAddressError):
        return "the address is private; see MILEPOST_CLEANUP_ALLOW_PRIVATE"
    return type(error).__name__


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, _name, _address = info
    return socket.socket(family, kind, protocol)


def _public_socket(info: Any) -> socket.socket:
    if not is_public(str(info[4][0])):
        msg = "not an address of the internet"
        raise RefusedAddressError(msg)
    return _any_socket(info)
