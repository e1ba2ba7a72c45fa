"""The registry's application: calls, feed, health."""

from aiohttp import web

from link_registry.api import API
from link_registry.bulk.handlers import Bulk
from link_registry.counting.handlers import Counts
from link_registry.counting.store import CountStore
from link_registry.feed import Feed
from link_registry.grants.handlers import Grants
from link_registry.handlers import Links
from link_registry.news import News
from link_registry.policy import Policy
from link_registry.positions.handlers import Positions
from link_registry.store import LinkStore
from link_registry.vitals import Vitals
from milepost.clock import Clock, Entropy
from milepost.health import add_health
from milepost.http import allow_origins, guarded, new_app
from milepost.openapi import add_calls
from milepost.rate import Rate, RateLimit
from milepost.tokens import FEED, TokenBook

# Enough for a program that makes links one by one; a loop that has gone wrong is slowed down.
RATE = Rate(per_second=200, burst=2_000)


def registry_app(
    store: LinkStore,
    news: News,
    vitals: Vitals,
    *,
    tokens: TokenBook,
    clock: Clock,
    entropy: Entropy,
    policy: Policy | None = None,
    origins: frozenset[str] = frozenset(),
    cleans: bool = False,
) -> web.Application:
    """Return the application over *store*.  *cleans*: somebody cleans up after grants."""
    app = new_app(entropy, tokens)
    allow_origins(app, origins)
    feed = Feed(store, news, clock)

    async def end_feed(_app: web.Application) -> None:
        feed.close()

    app.on_shutdown.append(end_feed)  # before the server waits for its open answers
    add_health(app, vitals.reasons)
    links = Links(store, clock, entropy, policy or Policy())
    bulk = Bulk(store, clock, entropy, policy or Policy())
    positions = Positions(store, clock)
    grants = Grants(store, clock, entropy, policy or Policy(), cleans=cleans)
    counts = Counts(CountStore(store), clock)
    handlers = {
        **links.handlers(),
        **bulk.handlers(),
        **counts.handlers(),
        **grants.handlers(),
        **positions.handlers(),
    }
    add_calls(app, API, handlers, limit=RateLimit(RATE), clock=clock)
    # Every edge may have the same token, so that no rate is held against these.
    app.router.add_post("/v1/feed/positions", guarded(FEED, positions.report))
    app.router.add_get("/sync/stream", guarded(FEED, feed.stream), allow_head=False)
    return app
