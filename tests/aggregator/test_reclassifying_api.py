"""Agents are described anew by way of the API, and everything follows."""

from pytest_aiohttp.plugin import AiohttpClient

from aggregator.rolling.store import roll_block
from tests.aggregator.combined_world import World
from tests.aggregator.test_aggregator_hashes import pull
from tests.aggregator.test_forgetting_api import connect, eraser_of, records, stream_of


async def test_agents_are_described_anew(world: World, aiohttp_client: AiohttpClient) -> None:
    """What changes is told first; sums and searches follow, and again changes nothing."""
    await stream_of(world, records(60, agent="curl/8.0"), records(10))
    await world.writer.transact(
        lambda db: db.execute(
            """
            UPDATE agent_class SET version = 0, class = (SELECT class FROM agent_class
             WHERE agent = (SELECT id FROM text WHERE value = 'Mozilla/5.0'))
            """
        )
    )
    client = await connect(world, aiohttp_client, eraser_of(world))

    looked = await (await client.post("/v1/reclassify", json={"dry_run": True})).json()
    done = await (await client.post("/v1/reclassify", json={})).json()
    again = await (await client.post("/v1/reclassify", json={})).json()
    found = await (await client.get("/v1/hits?class=library&limit=1000")).json()

    assert (looked["agents"], looked["changed"], looked["hits"]) == (2, 1, 60)
    (moved,) = looked["links"]
    assert (moved["link"], moved["to"], moved["clicks"]) == ("spring", "library", 60)
    assert done == {"agents": 2, "changed": 1, "hits": 60, "left": 0}
    assert again == {"agents": 0, "changed": 0, "hits": 0, "left": 0}
    assert len(found["hits"]) == 60


async def test_what_has_lost_a_word_is_found_without_it(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """In blocks that no hit without that word was in, when they were rolled up."""
    (await world.add_edge()).begin().add(world.epoch, records(60, agent="curl/8.0"))
    await pull(world)
    await world.writer.transact(
        lambda db: db.execute("UPDATE agent_class SET version = 0, device = class")
    )
    assert await world.writer.transact(lambda db: roll_block(db, 50)) == 60
    client = await connect(world, aiohttp_client, eraser_of(world))
    before = await (await client.get("/v1/hits?device=&limit=1000")).json()
    await client.post("/v1/reclassify", json={})

    found = await (await client.get("/v1/hits?device=&limit=1000")).json()

    assert (len(before["hits"]), len(found["hits"])) == (0, 60)
