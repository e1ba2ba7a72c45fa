"""`GET /v1/sources`: whoever was ever known is told of."""

from aggregator.discovery.store import SourceStore
from milepost.vocabulary import Millis
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_aggregator_query import READ, Connect, connect


async def test_sources_that_are_not_pulled_are_told_too(
    world: World, aiohttp_client: Connect
) -> None:
    """Whoever was ever known: with its state, what it promised, and how long it has been silent."""
    edge = await world.add_edge("cdg")
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    stream.add(world.epoch, [a_record(2), a_record(3)])
    edge.limit = 1
    await world.puller(edge).pull()
    store = SourceStore(world.writer, world.readers)
    await store.know(["http://never:1"], world.clock.now())
    await store.note_asked({edge.url: Millis(START)})
    world.clock.moment += 60_000
    await store.leave({edge.url: "TimeoutError"}, world.clock.now())
    await world.writer.transact(
        lambda db: db.execute("UPDATE source SET abandoned_ms = 0 WHERE region IS NULL").rowcount
    )
    client = await connect(world, aiohttp_client, [])
    told = await (await client.get("/v1/sources", headers=READ)).json()

    gone, never = sorted(told["sources"], key=lambda each: -len(each["streams"]))
    assert len(gone.pop("streams")) == 1
    assert gone == {
        "url": edge.url,
        "state": "gone",
        "region": "cdg",
        "machine": "local",
        "version": "0.1.0",
        "last_success": "2025-11-20T12:00:00.000Z",
        "last_error": "TimeoutError",
        "gone": "2025-11-20T12:01:00.000Z",
        "lag_records": 2,
        "lag_seconds": 60.0,
    }
    assert (never["state"], never["lag_seconds"]) == ("abandoned", 60.0)
