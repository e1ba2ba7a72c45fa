"""The registry's application: calls, feed, health."""

from aiohttp import web

from link_registry.bulk.handlers import Bulk
from link_registry.feed import Feed
from link_registry.handlers import Links
from link_registry.news import News
from link_registry.positions.handlers import Positions
from link_registry.store import LinkStore
from link_registry.vitals import Vitals
from milepost.clock import Clock, Entropy
from milepost.health import add_health
from milepost.http import guarded, new_app
from milepost.tokens import FEED, TokenBook


def registry_app(
    store: LinkStore,
    news: News,
    vitals: Vitals,
    *,
    tokens: TokenBook,
    clock: Clock,
    entropy: Entropy,
) -> web.Application:
    """Return the application over *store*."""
    app = new_app(entropy, tokens)
    feed = Feed(store, news, clock)

    async def end_feed(_app: web.Application) -> None:
        feed.close()

    app.on_shutdown.append(end_feed)  # before the server waits for its open answers
    add_health(app, vitals.reasons)
    Bulk(store, clock, entropy).add_routes(app.router)
    Links(store, clock, entropy).add_routes(app.router)
    Positions(store, clock).add_routes(app.router)
    app.router.add_get("/sync/stream", guarded(FEED, feed.stream), allow_head=False)
    return app
