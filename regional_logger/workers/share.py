"""What every worker has to know, and when it is told.

A worker that starts hears all of it, one that runs hears what changes.  Salts go
through memory and the pipe alone.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator

from milepost.links import Link
from milepost.vocabulary import LinkId, Millis
from regional_logger.keyring import HeldSalt, Keyring
from regional_logger.keys import KeyFollower
from regional_logger.links.table import LinkTable
from regional_logger.workers.messages import (
    Begin,
    KeyList,
    Message,
    PutLink,
    RemoveLink,
    Salts,
    Snapshot,
)

TellAll = Callable[[Iterable[Message]], None]


class SharedTable:
    """The links, held here and by every worker."""

    def __init__(self, tell: TellAll) -> None:
        self._table = LinkTable()
        self._tell = tell

    def links(self) -> tuple[Link, ...]:
        """Return every link."""
        return self._table.links()

    def put(self, link: Link) -> None:
        """Add *link*, or replace what was held under its id."""
        self._table.put(link)
        self._tell((PutLink(link),))

    def remove(self, link_id: LinkId) -> None:
        """Forget a link, if it is there."""
        self._table.remove(link_id)
        self._tell((RemoveLink(link_id),))

    def replace_all(self, links: Iterable[Link]) -> None:
        """Hold *links* and nothing else."""
        self._table.replace_all(links)
        self._tell(Snapshot(self._table.links()))


class SharedKeys:
    """The keyring, held here and by every worker."""

    def __init__(self, follower: KeyFollower, keyring: Keyring, tell: TellAll) -> None:
        self._follower, self._keyring = follower, keyring
        self._tell = tell
        self._version: Millis | None = None
        self._salts: tuple[HeldSalt, ...] = ()

    def after(self, step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return *step* as one after which the workers know what is new, also when it failed."""

        async def both() -> None:
            try:
                await step()
            finally:
                self.tell_news()

        return both

    def tell_news(self) -> None:
        """Tell what has changed since the last time."""
        listed, salts = self._keyring.listed, self._keyring.salts
        if listed is not None and listed.version != self._version:
            self._version = listed.version
            self._tell((KeyList(self._follower.document),))
        if salts != self._salts:
            self._salts = salts
            self._tell((Salts(salts),))

    def everything(self) -> Iterator[Message]:
        """Give what a worker that starts has to know."""
        if self._follower.document is not None:
            yield KeyList(self._follower.document)
        yield Salts(self._keyring.salts)


def greeting(keys: SharedKeys, table: SharedTable) -> Callable[[], list[Message]]:
    """Return what makes the first words to a worker."""

    def words() -> list[Message]:
        return [*keys.everything(), *Snapshot(table.links()), Begin()]

    return words
