"""Whether a click would be served and counted now."""

import asyncio
from collections.abc import Sequence

import aiohttp
import orjson

from milepost.dev.child import Child

ASK_SECONDS = 1.0
OK = 200


async def missing(session: aiohttp.ClientSession, children: Sequence[Child]) -> dict[str, str]:
    """Return what is not ready, and why.

    A child that was started anew while it was asked is not ready: the answer was another's.
    """
    asked = [child for child in children if child.process.ready_url]
    before = [(child.pid, child.starts) for child in asked]
    reasons = await asyncio.gather(*(_reason(session, child) for child in asked))
    return {
        child.process.name: reason or "starting"
        for child, was, reason in zip(asked, before, reasons, strict=True)
        if reason or child.pid is None or was != (child.pid, child.starts)
    }


async def _reason(session: aiohttp.ClientSession, child: Child) -> str:
    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            session.get(child.process.ready_url, allow_redirects=False) as response,
        ):
            return "" if response.status == OK else reason_in(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return "does not answer"


def reason_in(answer: bytes) -> str:
    """Return the reasons that a service which is not ready gave."""
    try:
        reasons = orjson.loads(answer)["reasons"]
        return "; ".join(str(text) for text in reasons.values()) or "not ready"
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return "not ready"
