"""The sources that are pulled, by name, and how finding them goes."""

from collections.abc import Iterable, Iterator

from aggregator.pulling.puller import Puller
from milepost.vocabulary import Millis


class Sources:
    """What pulls each source that is known now.

    Whoever asks about sources looks here at each question: they come and go.
    """

    def __init__(self, pullers: Iterable[Puller] = ()) -> None:
        self.discovery: str | None = None  # why the last look for sources failed; None: it did not
        # When the last look began that found everybody; None: nobody is looked for.
        self.looked_ms: Millis | None = None
        self.abandoned: frozenset[str] = frozenset()  # who was written off by hand
        self._pullers = {puller.url: puller for puller in pullers}

    def __iter__(self) -> Iterator[Puller]:
        """Give what pulls them, in the order in which they came."""
        return iter(tuple(self._pullers.values()))

    def __contains__(self, url: object) -> bool:
        """Tell whether *url* is pulled."""
        return url in self._pullers

    def __len__(self) -> int:
        """Return how many are pulled."""
        return len(self._pullers)

    def add(self, puller: Puller) -> None:
        """Take *puller* in, under the name of its source."""
        self._pullers[puller.url] = puller

    def lacks(self, since: Millis) -> list[str]:
        """Say why there may be sources that nobody knows, if none were looked for *since*."""
        if self.looked_ms is None or self.looked_ms >= since:
            return []
        why = f": {self.discovery}" if self.discovery else ""
        return [f"not all machines were found since the epoch settled{why}"]

    def remove(self, url: str) -> None:
        """Forget what pulled *url*."""
        del self._pullers[url]
