"""The sweep in an aggregator that is killed again and again."""

from collections import Counter
from pathlib import Path

import pytest

from tests.aggregator.combined_world import World
from tests.aggregator.replica_world import ReplicaWorld, a_stream
from tests.aggregator.test_aggregator_process import Running

STREAMS = 12


@pytest.mark.slow
async def test_a_kill_in_the_middle_of_a_sweep_doubles_nothing(
    world: World, tmp_path: Path
) -> None:
    """What was taken in stays, the rest comes later, and nothing is left in the scratch folder."""
    await world.add_edge()
    lost = ReplicaWorld(world)
    wanted = {f"/spring?n={number}" for number in range(STREAMS * 10)}
    for number in range(STREAMS):
        lost.put(a_stream(world, number, range(number * 10, number * 10 + 10)))
    (tmp_path / "process").mkdir()
    running = Running(world, tmp_path / "process")
    settings = {
        "MILEPOST_REPLICA_URL": f"file://{lost.base}",
        "MILEPOST_LITESTREAM_SOCKET": str(tmp_path / "nobody.sock"),
    }
    try:
        for count in (1, 25, 60):
            process = await running.start(**settings)
            await running.hits(count)
            process.kill()
            await process.wait()
        await running.start(**settings)
        answer = await running.ask(
            "/v1/hits?order=arrival&limit=1000", lambda told: len(told["hits"]) >= len(wanted)
        )
        ready = await running.ask("/readyz", lambda told: "notes" not in told)
        sources = await running.ask("/v1/sources", lambda told: True)
    finally:
        await running.stop()

    assert Counter(hit["path"] for hit in answer["hits"]) == dict.fromkeys(wanted, 1)
    assert ready["ready"]
    assert len(sources["replicas"]["swept"]) == STREAMS
    assert list((tmp_path / "process" / "data" / "replicas.scratch").iterdir()) == []
