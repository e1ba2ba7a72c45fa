"""What a visit gets: the whole decision, as a value.

Rules of this file:
- Pure, over (method, raw target, host), the moment, and the rules of this edge,
  so that any door to the network can share it.
- A text that goes into a header is printable ASCII, or the visit is malformed.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from milepost.links import WILDCARD, Link
from milepost.record import LINK, ORPHAN, PREFIX
from milepost.targeting.choosing import Choice, Facts, choose, destinations_at, target_of
from milepost.vocabulary import LinkId, Millis
from regional_logger.links.table import COLD, PREVIEW, FindLink
from regional_logger.pages import GONE_PAGE, ORPHAN_PAGE, preview_page
from regional_logger.prefix import is_prefix, parse_prefix
from regional_logger.targets import HostTest, canonical, nobody

TARGET_CHARS_MAX = 4_096
NESTED_MAX = 8
TRAILING_SPACE = "trailing_space"
ODDITIES = (TRAILING_SPACE,)
REFUSALS = ("malformed", "too_long", "own", "nested", "not_allowed", "banned")
FOUND, BAD_REQUEST, NOT_FOUND, GONE, URI_TOO_LONG = 302, 400, 404, 410, 414
OK, NO_CONTENT = 200, 204

_PRINTABLE = re.compile(r"/[\x21-\x7e]*")

ABOUT = "This host redirects. What you look for needs a longer address.\n"
ROBOTS = "User-agent: *\nDisallow: /\n"
BAD_PREFIX = "Not a redirect: want /e/ and a host with a path, such as /e/example.com/a.mp3\n"
BAD_TARGET = "Not an address: want printable ASCII, percent-encoded where it is not\n"
TOO_LONG = f"The address is longer than {TARGET_CHARS_MAX} characters\n"
OWN_TARGET = "Not a redirect: the target is on this service itself, so leave out /e/ and its host\n"
TOO_DEEP = f"Not a redirect: more than {NESTED_MAX} prefixes of this service in one another\n"
NOT_ALLOWED = "This service does not redirect to that host\n"
BANNED = "This service does not redirect to that host any more\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decisions follow from, besides the visit itself.

    Hosts come to their tests in canonical form.
    """

    find_link: FindLink
    is_own_host: HostTest = nobody  # besides the one that the visit names itself
    is_allowed: HostTest | None = None  # None: prefixes lead anywhere
    is_banned: HostTest | None = None
    root_url: str = ""  # where / leads; empty: it says what this is


class Targeted(NamedTuple):
    """A visit to a link with rules, as far as decided."""

    link: Link
    path: str
    query: str


class Decision(NamedTuple):
    """How to answer, and whether to remember it: `kind` is None for excluded visits."""

    status: int
    kind: str | None = None
    target: str = ""  # of a redirect
    body: str = ""  # of anything else
    link: LinkId | None = None
    arguments: str | None = None
    oddity: str | None = None  # of the target, which is followed all the same
    refusal: str | None = None  # why it gets an error that is not recorded; one of REFUSALS
    html: bool = False  # the body is
    variant: str | None = None  # of the link's rule
    targeted: Targeted | None = None  # where it leads depends on the visitor: `settle` says where


_MALFORMED = Decision(status=BAD_REQUEST, body=BAD_TARGET, refusal="malformed")
_TOO_LONG = Decision(status=URI_TOO_LONG, body=TOO_LONG, refusal="too_long")
_PREFLIGHT = Decision(status=NO_CONTENT)
_BAD_PREFIX = Decision(status=BAD_REQUEST, body=BAD_PREFIX, refusal="malformed")
_OWN_TARGET = Decision(status=BAD_REQUEST, body=OWN_TARGET, refusal="own")
_TOO_DEEP = Decision(status=BAD_REQUEST, body=TOO_DEEP, refusal="nested")
_NOT_ALLOWED = Decision(status=BAD_REQUEST, body=NOT_ALLOWED, refusal="not_allowed")
_BANNED = Decision(status=BAD_REQUEST, body=BANNED, refusal="banned")
_ORPHAN = Decision(status=NOT_FOUND, kind=ORPHAN, body=ORPHAN_PAGE, html=True)
_ABOUT = Decision(status=OK, body=ABOUT)
# Nothing is decided: the link has to be read from disk first.
UNDECIDED = Decision(status=0)
_OWN_PAGES = {
    "/robots.txt": Decision(status=OK, body=ROBOTS),
    "/favicon.ico": Decision(status=NO_CONTENT),
}


def decide(method: str, raw_target: str, host: str, now: Millis, rules: Rules) -> Decision:
    """Return what the visit gets."""
    if len(raw_target) > TARGET_CHARS_MAX:
        return _TOO_LONG
    # The grammar of prefixes is of printable characters by itself.
    if is_prefix(raw_target) and method != "OPTIONS":
        return _follow_prefix(raw_target, host, rules)
    if not _PRINTABLE.fullmatch(raw_target):
        return _MALFORMED
    if method == "OPTIONS":
        return _PREFLIGHT
    path, _, query = raw_target.partition("?")
    if path == "/":
        return _root(host, rules)
    return _OWN_PAGES.get(path) or _follow_link(host, path, query, now, rules.find_link)


def _follow_prefix(raw_target: str, host: str, rules: Rules) -> Decision:
    """Return where a prefix leads; prefixes of this service in one another are one redirect."""
    here, arguments = canonical(host), None
    for _ in range(NESTED_MAX):
        prefix = parse_prefix(raw_target)
        if prefix is None:
            return _BAD_PREFIX if _PRINTABLE.fullmatch(raw_target) else _MALFORMED
        target, authority, told = prefix
        arguments = arguments or told  # the outermost are those of who comes
        name = canonical(authority)
        if name != here and not rules.is_own_host(name):
            break
        raw_target = prefix.inner()
        if not is_prefix(raw_target):
            return _OWN_TARGET
    else:
        return _TOO_DEEP
    if rules.is_allowed is not None and not rules.is_allowed(name):
        return _NOT_ALLOWED
    if rules.is_banned is not None and rules.is_banned(name):
        return _BANNED
    oddity = TRAILING_SPACE if target[-3:] == "%20" else None
    return Decision(FOUND, PREFIX, target, "", None, arguments, oddity=oddity)


def _root(host: str, rules: Rules) -> Decision:
    """Return what is at `/`; a setting that leads back there leads nowhere."""
    url = rules.root_url
    if not url:
        return _ABOUT
    parts = urlsplit(url)
    name = canonical(parts.netloc.rpartition("@")[2])
    if parts.path in {"", "/"} and (name == canonical(host) or rules.is_own_host(name)):
        return _ABOUT
    return Decision(status=FOUND, target=url)


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
    target, targeted = link.destination, None
    if link.rules:
        target, targeted = "", Targeted(link, path, query)
    elif link.pass_query or link.path.endswith(WILDCARD):
        target = target_of(link, path, query)
    return Decision(link.status, LINK, target, link=link.id, targeted=targeted)


def settle(decision: Decision, facts: Facts | None) -> Decision:
    """Return *decision*, which was left open, with the target for a visit of these *facts*.

    Without them it is the link's own destination, where everybody goes who fits no rule.
    """
    if decision.targeted is None:
        return decision
    link, path, query = decision.targeted
    choice = Choice(link.destination) if facts is None else choose(link, facts)
    target = target_of(link, path, query, choice.destination)
    return decision._replace(target=target, variant=choice.variant, targeted=None)


def _show(link: Link, now: Millis) -> Decision:
    """Say where *link* leads, to somebody who wants to know before going there."""
    if link.expires_ms is not None and link.expires_ms <= now:
        return Decision(status=GONE, body=GONE_PAGE, html=True)
    return Decision(status=OK, body=preview_page(*destinations_at(link, now)), html=True)
