"""`GET /v1/drained`: what nobody knows of may need the key, too; what holds nothing does not."""

from pytest_aiohttp.plugin import AiohttpClient

from aggregator.discovery.sources import Sources
from milepost.vocabulary import Millis
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.replica_world import ReplicaWorld, a_stream
from tests.aggregator.test_aggregator_drained import END, api, ask


async def test_a_meter_that_cannot_be_read_holds_no_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Nothing in it is sealed; and the answer says all that its source has of streams."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    world.clock.moment = END
    edge.fault = {**edge.answer({}).to_json(), "unreadable": [f"{'0' * 32}.meter"]}
    puller = world.puller(edge)
    await puller.pull()

    assert (await ask(await api(world, aiohttp_client, puller)))["drained"]
    assert puller.whole_ms == END


async def test_machines_that_nobody_looked_for_may_need_the_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Where a list is all there is, nobody is looked for."""
    sources = Sources()
    client = await api(world, aiohttp_client, sources=sources)
    listed = await ask(client)
    sources.looked_ms, sources.discovery = Millis(END - 1), "the DNS does not answer"
    early = await ask(client)
    sources.looked_ms = Millis(END)
    late = await ask(client)

    assert [each["drained"] for each in (listed, early, late)] == [True, False, True]
    assert early["reasons"] == [
        "not all machines were found since the epoch settled: the DNS does not answer"
    ]


async def test_replicas_that_nobody_has_read_may_need_the_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Of a machine that was lost before it was ever known; swept since, and each of them read."""
    lost = ReplicaWorld(world)
    replica = lost.put(a_stream(world, 1))
    sweeper = lost.sweeper()
    client = await api(world, aiohttp_client, sweeper=sweeper)
    world.clock.moment = END - 1
    drained = [await ask(client)]
    lost.binary = "/nowhere"
    broken = lost.sweeper()
    await broken.step()
    unread = await ask(await api(world, aiohttp_client, sweeper=broken), end_ms=START)
    for _ in range(2):
        await sweeper.step()
        drained.append(await ask(client))
        world.clock.moment = END
    drained.append(await ask(client, end_ms=END + 1))

    assert [each["drained"] for each in drained] == [False, False, True, False]
    assert drained[0]["reasons"] == ["the object store was not swept since the epoch settled"]
    assert unread["reasons"] == [
        f"1 replicas of lost streams cannot be read, such as {replica.relative_to(lost.base)}"
    ]
