"""The aggregator put together: what it is ready for, and where it answers."""

from aiohttp import web

from aggregator.abandoning.handlers import add_abandoning
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.downloads.handlers import add_downloads
from aggregator.draining.handlers import add_draining
from aggregator.limits.counting import LimitCounter
from aggregator.live.stream import add_live
from aggregator.op3.handlers import add_op3
from aggregator.opening.keyring import Keyring
from aggregator.opening.retry import Retrier
from aggregator.query.handlers import add_sources
from aggregator.query.set_aside import add_set_aside
from aggregator.reconciling.handlers import add_reconciliation
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.sweeping import Sweeper
from aggregator.searching.handlers import add_hits
from aggregator.store import Store
from milepost.clock import Clock, Entropy
from milepost.database import Readers
from milepost.health import Reasons, add_health
from milepost.http import new_app
from milepost.tokens import TokenBook


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
    asker: Asker | None = None,
) -> web.Application:
    """Return the private listener's application; without an *asker* nobody is told of hits."""
    app = new_app(entropy, tokens)
    add_health(
        app,
        lambda: unready(keyring, sources),
        notes=lambda: {
            **notes(sources),
            **reckoner.notes(),
            **(sweeper.notes() if sweeper else {}),
            **(limits.notes() if limits else {}),
        },
    )
    add_sources(app, readers, store, sources, clock, sweeper=sweeper)
    if asker is not None:
        add_hits(app, asker, clock)
        add_op3(app, asker, clock)
        add_downloads(app, asker, clock)
        add_live(app, asker, lambda: store.commits, clock)
    add_draining(app, readers, keyring, sources, clock, sweeper=sweeper)
    add_abandoning(app, readers, store, sources, clock)
    add_reconciliation(app, reckoner, clock)
    add_set_aside(app, readers, store, Retrier(store, keyring))
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


def notes(sources: Sources) -> Reasons:
    """Return what a person should look into: who comes or goes may be overlooked."""
    return {"discovery": sources.discovery} if sources.discovery else {}
