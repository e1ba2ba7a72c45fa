"""What a visit gets: the whole decision, as a value.

Rules of this file:
- Pure, over (method, raw target, host), the moment, and the rules of this edge,
  so that any door to the network can share it.
- A text that goes into a header is printable ASCII, or the visit is malformed.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from milepost.links import WILDCARD, Link
from milepost.record import LINK, ORPHAN, PREFIX
from milepost.vocabulary import LinkId, Millis
from regional_logger.links.table import COLD, PREVIEW, FindLink
from regional_logger.links.target import target_of
from regional_logger.pages import GONE_PAGE, ORPHAN_PAGE, preview_page
from regional_logger.prefix import is_prefix, parse_prefix

TARGET_CHARS_MAX = 4_096
FOUND, BAD_REQUEST, NOT_FOUND, GONE, URI_TOO_LONG = 302, 400, 404, 410, 414
OK, NO_CONTENT = 200, 204

_PRINTABLE = re.compile(r"/[\x21-\x7e]*")

ABOUT = "This host redirects. What you look for needs a longer address.\n"
ROBOTS = "User-agent: *\nDisallow: /\n"
BAD_PREFIX = "Not a redirect: want /e/ and a host with a path, such as /e/example.com/a.mp3\n"
BAD_TARGET = "Not an address: want printable ASCII, percent-encoded where it is not\n"
TOO_LONG = f"The address is longer than {TARGET_CHARS_MAX} characters\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decisions follow from, besides the visit itself."""

    find_link: FindLink


class Decision(NamedTuple):
    """How to answer, and whether to remember it: `kind` is None for excluded visits."""

    status: int
    kind: str | None = None
    target: str = ""  # of a redirect
    body: str = ""  # of anything else
    link: LinkId | None = None
    arguments: str | None = None
    html: bool = False  # the body is


_MALFORMED = Decision(status=BAD_REQUEST, body=BAD_TARGET)
_TOO_LONG = Decision(status=URI_TOO_LONG, body=TOO_LONG)
_PREFLIGHT = Decision(status=NO_CONTENT)
_BAD_PREFIX = Decision(status=BAD_REQUEST, body=BAD_PREFIX)
_ORPHAN = Decision(status=NOT_FOUND, kind=ORPHAN, body=ORPHAN_PAGE, html=True)
# Nothing is decided: the link has to be read from disk first.
UNDECIDED = Decision(status=0)
_OWN_PAGES = {
    "/": Decision(status=OK, body=ABOUT),
    "/robots.txt": Decision(status=OK, body=ROBOTS),
    "/favicon.ico": Decision(status=NO_CONTENT),
}


def decide(method: str, raw_target: str, host: str, now: Millis, rules: Rules) -> Decision:
    """Return what the visit gets."""
    if len(raw_target) > TARGET_CHARS_MAX:
        return _TOO_LONG
    if not _PRINTABLE.fullmatch(raw_target):
        return _MALFORMED
    if method == "OPTIONS":
        return _PREFLIGHT
    if is_prefix(raw_target):
        return _follow_prefix(raw_target)
    path, _, query = raw_target.partition("?")
    return _OWN_PAGES.get(path) or _follow_link(host, path, query, now, rules.find_link)


def _follow_prefix(raw_target: str) -> Decision:
    prefix = parse_prefix(raw_target)
    if prefix is None:
        return _BAD_PREFIX
    return Decision(status=FOUND, kind=PREFIX, target=prefix.target, arguments=prefix.arguments)


def _follow_link(host: str, path: str, query: str, now: Millis, find: FindLink) -> Decision:
    link = find(host, path)
    if link is COLD:
        return UNDECIDED
    if path.endswith(PREVIEW) and (link is None or link.is_pattern):
        shown = find(host, path[:-1])
        if shown is COLD:
            return UNDECIDED
        if shown is not None and not shown.is_pattern:
            return _show(shown, now)
    if link is None:
        return _ORPHAN
    if link.expires_ms is not None and link.expires_ms <= now:
        return Decision(status=GONE, kind=ORPHAN, body=GONE_PAGE, html=True, link=link.id)
    target = link.destination
    if link.pass_query or link.path.endswith(WILDCARD):
        target = target_of(link, path, query)
    return Decision(status=link.status, kind=LINK, target=target, link=link.id)


def _show(link: Link, now: Millis) -> Decision:
    """Say where *link* leads, to somebody who wants to know before going there."""
    if link.expires_ms is not None and link.expires_ms <= now:
        return Decision(status=GONE, body=GONE_PAGE, html=True)
    return Decision(status=OK, body=preview_page(link.destination), html=True)
