"""What every worker has to know, and when it is told.

A worker that starts hears all of it, one that runs hears what changes.  Salts go
through memory and the pipe alone.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator

from milepost.links import FeedPlace, Link
from milepost.vocabulary import LinkId, Millis
from regional_logger.keyring import HeldSalt, Keyring
from regional_logger.keys import KeyFollower
from regional_logger.links.news import Applied
from regional_logger.links.store import ReplicaStore
from regional_logger.workers.messages import (
    Begin,
    ChangedLink,
    KeyList,
    Message,
    Reload,
    Salts,
    Snapshot,
)

TellAll = Callable[[Iterable[Message]], None]


class SharedLinks:
    """The links, on disk for every worker to read; where there is no disk, held here and told."""

    def __init__(self, store: ReplicaStore, tell: TellAll) -> None:
        self._store = store
        self._tell = tell
        self._held: dict[LinkId, Link] = {}

    async def renew(self, place: FeedPlace | None) -> None:
        """Have the workers know what is in the replica now, and nothing else."""
        del place  # each reads it with the links
        if self._store.path is None:
            self._held = {link.id: link for link in await self._store.links()}
        self._tell(self.everything())

    def change(self, applied: Applied) -> None:
        """Tell what has just been changed in the replica."""
        if self._store.path is None:
            for link in applied.gone:
                del self._held[link.id]
            if applied.put is not None:
                self._held[applied.put.id] = applied.put
        self._tell((ChangedLink(applied),))

    def everything(self) -> Iterable[Message]:
        """Return what a worker that starts has to know."""
        if self._store.path is None:
            return Snapshot(tuple(self._held.values()))
        return (Reload(),)


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


def greeting(keys: SharedKeys, links: SharedLinks) -> Callable[[], list[Message]]:
    """Return what makes the first words to a worker."""

    def words() -> list[Message]:
        return [*keys.everything(), *links.everything(), Begin()]

    return words
