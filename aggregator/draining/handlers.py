"""`GET /v1/drained`: what the key server asks before it destroys a record key."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from aiohttp import web

from aggregator.discovery.sources import Sources
from aggregator.draining.rules import Finding, Told, complete_since, still_behind
from aggregator.draining.store import find_abandoned, find_behind, find_sealed, find_told
from aggregator.opening.keyring import Keyring
from aggregator.pulling.puller import Puller
from aggregator.replicas.sweeping import Sweeper
from milepost.clock import Clock
from milepost.database import Readers
from milepost.errors import NotFoundError, RejectedError
from milepost.http import Handler, json_response
from milepost.stream.files import SUFFIX
from milepost.vocabulary import Epoch, Millis


def draining_handlers(
    readers: Readers,
    keyring: Keyring,
    sources: Sources,
    clock: Clock,
    *,
    sweeper: Sweeper | None = None,
) -> Mapping[str, Handler]:
    """Return who answers; without a *sweeper* there are no replicas that could hold anything."""

    async def drained(request: web.Request) -> web.Response:
        epoch = Epoch(_number(request, "epoch"))
        settled_ms = Millis(_end_ms(request, keyring, epoch) + _number(request, "grace_ms", "0"))
        # Asked first: what an answer brings after that only makes the epoch look less drained.
        unknown = sources.lacks(settled_ms)
        unknown += sweeper.lacks(settled_ms) if sweeper is not None else []
        unread = await find_abandoned(readers)
        pulled = [_pulled(each, unread) for each in sources]
        complete = complete_since([each.passages for each in sources])
        behind = still_behind(await find_behind(readers, settled_ms), complete, settled_ms)
        stored, abandoned = await find_told(readers)
        waiting, set_aside = await find_sealed(readers, epoch)
        finding = Finding(
            epoch=epoch,
            settled_ms=settled_ms,
            waiting=waiting,
            set_aside=set_aside.records,
            behind=behind,
            sources=_together(pulled, stored, abandoned),
            unknown=unknown,
        )
        return json_response(finding.to_json(clock.now()))

    return {"tell_drained": drained}


def _pulled(puller: Puller, abandoned: AbstractSet[str]) -> Told:
    """Return what a source has let us know; files whose rest was *abandoned* are no news.

    Nor are meters: nothing in them is sealed.
    """
    streams = (name for name in puller.unreadable if name.endswith(SUFFIX))
    unreadable = tuple(name for name in streams if name not in abandoned)
    return Told(puller.url, puller.last_asked, unreadable)


def _together(
    pulled: Sequence[Told], stored: Mapping[str, Told], abandoned: AbstractSet[str]
) -> list[Told]:
    """Return what each source has let us know that is not written off.

    Of one that is pulled only what it said since the start counts: which files it could
    not read is not stored.
    """
    found = {**stored, **{each.url: each for each in pulled}}
    return [each for url, each in found.items() if url not in abandoned]


def _end_ms(request: web.Request, keyring: Keyring, epoch: Epoch) -> int:
    """Return when the epoch ends: as the caller says, or else the signed list."""
    if "end_ms" in request.query:
        return _number(request, "end_ms")
    listed = keyring.end_of(epoch)
    if listed is None:
        msg = f"epoch {epoch} is not in the key server's list; say when it ended with end_ms"
        raise NotFoundError(msg)
    return listed


def _number(request: web.Request, name: str, default: str = "") -> int:
    text = request.query.get(name, default)
    if not re.fullmatch(r"[0-9]{1,15}", text):
        msg = f"{name}: want a number"
        raise RejectedError(msg)
    return int(text)
