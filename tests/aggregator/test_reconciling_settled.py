"""Nothing stays behind for ever: by itself, or once somebody has written it off."""

from aggregator.abandoning.handlers import Abandoning, Target
from aggregator.discovery.sources import Sources
from aggregator.reconciling.reckoner import Reckoner
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_reconciling_store import ALL, HOUR, an_edge, end, reckoned, total


async def test_a_source_that_was_written_off_is_lost_by_number(world: World) -> None:
    """Also one that stands in a list, and so is never found to be gone."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    await world.puller(edge).pull()

    await world.store.abandon_source(edge.url, START)

    found = await total(world)
    assert (found.served, found.lost, found.behind) == (11, 5, 0)
    assert len((await reckoned(world)).spans) == 1


async def test_a_log_without_a_replica_can_be_written_off(world: World) -> None:
    """All that was announced is applied, but nobody said that there was no more."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    puller = world.puller(edge)
    await puller.pull()
    edge.streams.clear()
    await puller.pull()
    sweeping = Reckoner(world.readers, sweeps=True)
    before = (await sweeping.reckon(ALL)).total.behind
    abandoning = Abandoning(world.readers, world.store, Sources([puller]), world.clock)
    await abandoning.abandon(Target(stream=stream.id))

    found = (await sweeping.reckon(ALL)).total
    assert (before, found.behind, found.lost) == (5, 0, 5)


async def test_a_file_that_was_rolled_back_leaves_nothing_behind(world: World) -> None:
    """All that was announced is here, and nobody could write off what was not."""
    edge, stream = await an_edge(world)
    stream.add(world.epoch, [a_record(7)])
    stream.more[HOUR] = (5, 0, 0)
    end(stream)
    puller = world.puller(edge)
    await puller.pull()
    del stream.batches[1:]
    for _ in range(3):
        await puller.pull()

    found = (await Reckoner(world.readers, sweeps=True).reckon(ALL)).total
    assert (found.recorded, found.lost, found.behind) == (4, 5, 0)
