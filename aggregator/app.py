"""The aggregator put together: what it is ready for, and where it answers."""

from collections import ChainMap

from aiohttp import web

from aggregator.abandoning.handlers import abandoning_handlers
from aggregator.access.tagged import TaggedLinks
from aggregator.api import API, SCOPES
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.downloads.handlers import download_handlers
from aggregator.draining.handlers import draining_handlers
from aggregator.forgetting.handlers import Forgetting
from aggregator.limits.counting import LimitCounter
from aggregator.live.stream import live_handlers
from aggregator.op3.handlers import add_op3
from aggregator.opening.keyring import Keyring
from aggregator.opening.retry import Retrier
from aggregator.query.handlers import source_handlers
from aggregator.query.set_aside import set_aside_handlers
from aggregator.reconciling.handlers import reconciliation_handlers
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.sweeping import Sweeper
from aggregator.searching.handlers import search_handlers
from aggregator.stats.handlers import stats_handlers
from aggregator.store import Store
from milepost.access.handlers import TokenCalls
from milepost.access.keeper import TokenKeeper
from milepost.access.store import TokenStore
from milepost.clock import Clock, Entropy
from milepost.database import Readers
from milepost.health import Reasons, add_health
from milepost.http import allow_origins, limit_calls, new_app
from milepost.openapi import add_calls
from milepost.rate import Rate, RateLimit
from milepost.tokens import TokenBook

# Of a token of the tokens file: a loop that has gone wrong is slowed down.
RATE = Rate(per_second=200, burst=2_000)


def build_app(
    *,
    tokens: TokenBook,
    readers: Readers,
    store: Store,
    keyring: Keyring,
    sources: Sources,
    reckoner: Reckoner,
    clock: Clock,
    entropy: Entropy,
    sweeper: Sweeper | None = None,
    limits: LimitCounter | None = None,
    asker: Asker,
    forgetting: Forgetting,
    keeper: TokenKeeper | None = None,
    tagged: TaggedLinks | None = None,
    origins: frozenset[str] = frozenset(),
) -> web.Application:
    """Return the private listener's application.

    *keeper* keeps further tokens beside the *tokens* of the file, *tagged* knows which links
    have a tag; without the latter a token that is restricted to tags is told to ask again.
    """
    keeper = keeper or TokenKeeper(
        TokenStore(store.change, readers), tokens, clock, entropy, SCOPES
    )
    tagged = tagged or TaggedLinks(None, clock)
    app = new_app(entropy, keeper.book)
    app.on_startup.append(keeper.load)
    allow_origins(app, origins)
    limit_calls(app, RateLimit(RATE), clock)
    telling = [each for each in (reckoner, sweeper, limits, forgetting) if each is not None]
    add_health(
        app,
        lambda: unready(keyring, sources),
        notes=lambda: notes(sources, *(each.notes() for each in telling)),
    )
    handlers = {
        **source_handlers(readers, store, sources, clock, sweeper=sweeper),
        **search_handlers(asker, clock, tagged),
        **stats_handlers(asker, clock, tagged),
        **download_handlers(asker, clock, tagged),
        **live_handlers(app, asker, lambda: store.commits, clock, tagged, erased=forgetting.taken),
        **draining_handlers(readers, keyring, sources, clock, sweeper=sweeper),
        **abandoning_handlers(readers, store, sources, clock),
        **reconciliation_handlers(reckoner, clock),
        **set_aside_handlers(readers, store, Retrier(store, keyring)),
        **forgetting.handlers(),
        **TokenCalls(keeper).handlers(),
    }
    add_calls(app, API, handlers)
    add_op3(app, asker, clock, tagged)
    return app


def unready(keyring: Keyring, sources: Sources) -> Reasons:
    """Return what keeps clicks from being pulled and counted."""
    reasons = {
        each.url: each.last_error or "has not answered since the start"
        for each in sources
        if each.superseded or (each.last_success is None and each.url not in sources.abandoned)
    }
    if not sources:
        reasons["sources"] = sources.discovery or "no source is known yet"
    if keyring.missing:
        reasons["key_server"] = keyring.missing
    return reasons


def notes(sources: Sources, *others: Reasons) -> Reasons:
    """Return what a person should look into: who comes or goes may be overlooked."""
    return dict(ChainMap({"discovery": sources.discovery} if sources.discovery else {}, *others))
