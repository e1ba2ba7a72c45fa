"""The plain request and its answer, as bytes.

Nearly every visit is one buffer with a plain GET.  Those are read and answered
here; whatever is not exactly that, in any respect, is none of this file's
business and goes to aiohttp from its first byte.

Rules of this file:
- Pure.
- What is taken here means the same to aiohttp; a test compares the two.
"""

import functools
import re
from typing import NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from regional_logger.decide import Decision

BYTES_MAX = 8_190  # as much as aiohttp takes in one line

_PLAIN = re.compile(
    rb"GET (/[\x21-\x7e]*) HTTP/1\.1"
    rb"((?:\r\n[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*){1,64})\r\n\r\n"
)
# The headers that a record, a decision or the protocol may depend on.
_KEPT = frozenset(
    {
        *("host", "user-agent", "referer", "range", "x-playback-session-id", "accept-language"),
        *("sec-gpc", "dnt", "fly-client-ip", "x-forwarded-for", "connection"),
    }
)
# Those that change what a request is, or that aiohttp allows but once.
_NOT_PLAIN = frozenset(
    {
        *("content-encoding", "content-length", "content-location", "content-range"),
        *("content-type", "transfer-encoding", "expect", "upgrade", "etag", "max-forwards"),
        *("server", "proxy-connection"),
    }
)
# An authority without a user: RFC 9112 wants anything else refused.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_REASONS = {
    200: b"OK",
    204: b"No Content",
    301: b"Moved Permanently",
    302: b"Found",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    404: b"Not Found",
    410: b"Gone",
    414: b"Request-URI Too Long",
}


class Plain(NamedTuple):
    """A plain GET."""

    raw_target: str
    host: str
    headers: CIMultiDictProxy[str]


def parse_plain(data: bytes) -> Plain | None:
    """Return the request in *data* if it is a plain and whole one, and nothing else is there."""
    found = _PLAIN.fullmatch(data) if len(data) <= BYTES_MAX else None
    if found is None:
        return None
    given = []
    for line in found[2].decode("utf-8", "surrogateescape").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        lower = name.lower()
        if lower in _NOT_PLAIN:
            return None
        if lower in _KEPT:
            given.append((name, value.strip("\t ")))
    headers = CIMultiDict(given)
    hosts = headers.getall("Host", ())
    if len(hosts) != 1 or not is_host(hosts[0]) or len(headers.getall("User-Agent", ())) > 1:
        return None
    if any(value.lower() != "keep-alive" for value in headers.getall("Connection", ())):
        return None
    return Plain(found[1].decode("ascii"), hosts[0], CIMultiDictProxy(headers))


@functools.lru_cache(maxsize=1024)
def is_host(text: str) -> bool:
    """Tell whether *text* is a host, with or without a port, as a Host header must be."""
    return _HOST.fullmatch(text) is not None


def write_answer(decision: Decision, headers: bytes, date: bytes) -> bytes:
    """Return the whole answer to a GET; *headers* are those of its kind, line by line."""
    body = b"" if decision.target else decision.body.encode()
    location = b"Location: %b\r\n" % decision.target.encode("ascii") if decision.target else b""
    length = b"" if decision.status == 204 else b"Content-Length: %d\r\n" % len(body)  # noqa: PLR2004
    return b"HTTP/1.1 %d %b\r\n%b%b%bDate: %b\r\n\r\n%b" % (
        decision.status,
        _REASONS[decision.status],
        headers,
        location,
        length,
        date,
        body,
    )


def header_lines(headers: dict[str, str]) -> bytes:
    """Return *headers* as they stand in an answer."""
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
