"""Which links a token sees that is restricted to hosts or tags: those it may change as well.

Rules of this file:
- Pure.
- A link is seen that is on one of the hosts and has one of the tags, as far as there are
  any.  One on every host (`*`) is seen by nobody who is restricted to hosts.
"""

from link_registry.entries import Entry
from milepost.errors import NarrowedError
from milepost.finding.places import names_of
from milepost.tokens import Principal


def refuse_unseen(who: Principal, entry: Entry) -> None:
    """Refuse because *who* does not see *entry*, saying of what it is restricted to is missing."""
    if who.hosts and entry.link.host not in who.hosts:
        raise _refusal(who, "the link is on none of these hosts")
    if who.tags and who.tags.isdisjoint(entry.tags):
        raise _refusal(who, "the link has none of these tags")


def refuse_host(who: Principal, host: str) -> None:
    """Refuse because *who* asks for the links of another *host*."""
    if who.hosts and host not in who.hosts:
        raise _refusal(who, f"it lacks the host {host}")


def refuse_visit(who: Principal, host: str) -> None:
    """Refuse because no link that *who* sees could answer a visit to *host*."""
    if who.hosts and who.hosts.isdisjoint(names_of(host)):
        raise _refusal(who, "a link on one of these hosts would not answer there")


def _refusal(who: Principal, why: str) -> NarrowedError:
    msg = f"the token {who.name!r} is restricted to {who.restriction()}: {why}"
    return NarrowedError(msg)
