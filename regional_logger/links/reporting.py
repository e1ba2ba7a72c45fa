"""Telling the registry how far this edge is: after each change, and every few seconds anyway."""

import asyncio

from milepost.client import Client
from milepost.clock import Clock
from regional_logger.links.feed import FeedFollower

POSITIONS = "/v1/feed/positions"
REPORT_SECONDS = 5.0


class PositionReporter:
    """Reports the place of *follower* to the registry behind *client*."""

    def __init__(
        self, client: Client, follower: FeedFollower, clock: Clock, *, region: str, machine: str
    ) -> None:
        self._client = client
        self._follower = follower
        self._clock = clock
        self._who = {"region": region, "machine": machine}

    async def report(self) -> None:
        """Wait until the place has become another, or long enough; then tell it."""
        waiting = asyncio.create_task(self._follower.moved.wait())
        sleeping = asyncio.create_task(self._clock.sleep(REPORT_SECONDS))
        try:
            await asyncio.wait((waiting, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()
        self._follower.moved.clear()
        place = self._follower.place
        await self._client.post(POSITIONS, self._who | {"place": str(place) if place else None})
