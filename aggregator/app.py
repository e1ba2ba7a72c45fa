"""The aggregator put together: what it is ready for, and where it answers."""

from collections.abc import Sequence

from aiohttp import web

from aggregator.draining.handlers import add_draining
from aggregator.opening.keyring import Keyring
from aggregator.opening.retry import Retrier
from aggregator.pulling.puller import Puller
from aggregator.query.handlers import add_queries
from aggregator.query.set_aside import add_set_aside
from aggregator.reconciling.handlers import add_reconciliation
from aggregator.reconciling.reckoner import Reckoner
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
    pullers: Sequence[Puller],
    reckoner: Reckoner,
    clock: Clock,
    entropy: Entropy,
) -> web.Application:
    """Return the private listener's application."""
    app = new_app(entropy, tokens)
    add_health(app, lambda: unready(keyring, pullers), notes=reckoner.notes)
    add_queries(app, readers, store, pullers, clock)
    add_draining(app, readers, keyring, pullers, clock)
    add_reconciliation(app, reckoner, clock)
    add_set_aside(app, readers, store, Retrier(store, keyring))
    return app


def unready(keyring: Keyring, pullers: Sequence[Puller]) -> Reasons:
    """Return what keeps clicks from being pulled and counted."""
    reasons = {
        each.url: each.last_error or "has not answered since the start"
        for each in pullers
        if each.last_success is None
    }
    if keyring.missing:
        reasons["key_server"] = keyring.missing
    return reasons
