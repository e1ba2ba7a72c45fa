"""The SQL of bulk calls: links inside of one transaction, of a whole call or of a part."""

from collections.abc import Callable

from link_registry.changing.store import (
    add_link,
    link_at,
    link_with_id,
    path_in_use,
    remove_link,
    replace_link,
)
from link_registry.entries import Entry
from link_registry.narrowing import refuse_host, refuse_unseen
from link_registry.once.store import Call, Part, next_parts
from link_registry.policy import Policy
from link_registry.store import LinkStore
from milepost.links import Link
from milepost.sqlite import Connection
from milepost.tokens import Principal
from milepost.vocabulary import Millis


class Changing:
    """The links inside of one transaction, changed by *who*, and leading where *policy* allows.

    A link that *who* does not see is refused as soon as it is found.
    """

    def __init__(self, db: Connection, who: Principal, policy: Policy) -> None:
        self._db = db
        self._who = who
        self._policy = policy

    def by_id(self, link_id: str) -> Entry | None:
        """Return the link with that id."""
        return self._seen(link_with_id(self._db, link_id))

    def by_place(self, host: str, path: str) -> Entry | None:
        """Return the link of that host and path."""
        refuse_host(self._who, host)  # whether or not something is there
        return self._seen(link_at(self._db, host, path))

    def path_in_use(self, link: Link) -> bool:
        """Tell whether somebody uses its path where it would be seen."""
        return path_in_use(self._db, link)

    def create(self, entry: Entry) -> None:
        """Add a link, or refuse because of where it is or leads."""
        refuse_unseen(self._who, entry)
        self._policy.refuse(entry.link)
        add_link(self._db, entry, self._who.name)

    def replace(self, old: Entry, new: Entry) -> None:
        """Put *new* in the place of *old*, or refuse because of where it is or leads."""
        refuse_unseen(self._who, new)
        self._policy.refuse_change(old.link, new.link)
        replace_link(self._db, old, new, self._who.name)

    def delete(self, entry: Entry, now: Millis) -> None:
        """Take a link away."""
        remove_link(self._db, entry, now, self._who.name)

    def _seen(self, entry: Entry | None) -> Entry | None:
        if entry is not None:
            refuse_unseen(self._who, entry)
        return entry


async def next_parts_of(
    store: LinkStore, call: Call, policy: Policy, done: int, work: Callable[[Changing], Part]
) -> list[Part]:
    """Return what is remembered of *call* from item *done* on, or else do *work*, the next part."""
    return await next_parts(store, call, done, lambda db: work(Changing(db, call.who, policy)))
