"""The registry's application: calls, feed, health."""

from aiohttp import web

from link_registry.api import API, SCOPES
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
from milepost.access.handlers import TokenCalls
from milepost.access.keeper import TokenKeeper
from milepost.access.store import TokenStore
from milepost.clock import Clock, Entropy
from milepost.health import add_health
from milepost.http import allow_origins, guarded, limit_calls, new_app
from milepost.openapi import add_calls
from milepost.rate import Rate, RateLimit
from milepost.tokens import FEED, TokenBook

# Enough for a program that makes links one by one; a loop that has gone wrong is slowed down.
RATE = Rate(per_second=200, burst=2_000)


def token_keeper(
    store: LinkStore, tokens: TokenBook, clock: Clock, entropy: Entropy
) -> TokenKeeper:
    """Return what keeps tokens in *store* beside the *tokens* of the file."""
    kept = TokenStore(store.change, store.readers)
    return TokenKeeper(kept, tokens, clock, entropy, SCOPES)


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
    keeper: TokenKeeper | None = None,
) -> web.Application:
    """Return the application over *store*.  *cleans*: somebody cleans up after grants.

    *keeper* keeps further tokens beside the *tokens* of the file.
    """
    keeper = keeper or token_keeper(store, tokens, clock, entropy)
    app = new_app(entropy, keeper.book)
    app.on_startup.append(keeper.load)
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
        **TokenCalls(keeper).handlers(),
    }
    limit_calls(app, RateLimit(RATE), clock)
    add_calls(app, API, handlers)
    # Every edge may have the same token, so that no rate is held against these.
    app.router.add_post("/v1/feed/positions", guarded(FEED, positions.report, rated=False))
    app.router.add_get("/sync/stream", guarded(FEED, feed.stream, rated=False), allow_head=False)
    return app
