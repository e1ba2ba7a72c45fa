"""How the registry is doing, asked of its database every few seconds."""

from link_registry.metrics import LINKS, POSITION
from link_registry.store import LinkStore
from milepost.errors import UnavailableError
from milepost.health import Reasons


class Vitals:
    """Keeps the gauges true, and knows whether the database answers."""

    def __init__(self, store: LinkStore) -> None:
        self._store = store
        self._reasons: Reasons = {"database": "not yet read"}

    def reasons(self) -> Reasons:
        """Return what keeps the registry from being ready."""
        return self._reasons

    async def look(self) -> None:
        """Read how much there is."""
        try:
            LINKS.set(await self._store.count())
            POSITION.set(await self._store.position())
        except UnavailableError as error:
            self._reasons = {"database": f"cannot be read: {error}"}
            raise
        self._reasons = {}
