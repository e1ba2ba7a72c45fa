"""The aggregator put together: what it is ready for, and where it answers."""

from aiohttp import web

from aggregator.abandoning.handlers import add_abandoning
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.draining.handlers import add_draining
from aggregator.forgetting.handlers import Forgetting, add_forgetting
from aggregator.limits.counting import LimitCounter
from aggregator.opening.keyring import Keyring
from aggregator.opening.retry import Retrier
from aggregator.query.handlers import add_sources
from aggregator.query.set_aside import add_set_aside
from aggregator.reconciling.handlers import add_reconciliation
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.sweeping import Sweeper
from aggregator.searching.handlers import add_hits
from aggregator.stats.handlers import add_stats
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
    forgetting: Forgetting | None = None,
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
            **(forgetting.notes() if forgetting else {}),
        },
    )
    add_sources(app, readers, store, sources, clock, sweeper=sweeper)
    if asker is not None:
        add_hits(app, asker, clock)
        add_stats(app, asker, clock)
    if forgetting is not None:
        add_forgetting(app, forgetting)
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
