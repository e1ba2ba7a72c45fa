"""Abandoning: what will never come is written off by number, and its file may retire."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.abandoning.rules import Candidate, of_stream
from aggregator.pulling.intake import UNREADABLE
from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Safe
from milepost.tokens import HITS_READ, HITS_WRITE
from milepost.vocabulary import Millis, Seq, StreamId
from milepost.wire import Cursor
from tests.aggregator.combined_world import START, Edge, FileOfBatches, World, a_record
from tests.aggregator.test_aggregator_set_aside import api

PATH = "/v1/sources/abandon"


class Lost:
    """An edge with a closed stream of three batches, of which only the first can be read."""

    def __init__(self, world: World, edge: Edge, puller: Puller) -> None:
        self.world = world
        self.edge = edge
        self.puller = puller
        self.stream: FileOfBatches = edge.begin()
        for number in range(3):
            self.stream.add(world.epoch, [a_record(number)])
        self.name = self.stream.id.hex()
        self.end = Cursor(Seq(3), self.stream.chain)

    def tell(self, *, readable: int = 1, **head: Any) -> None:
        """Have the edge hand over the first *readable* batches, and name its file."""
        about = replace(self.stream.head(), open=False, **head)
        unreadable = () if readable == 3 else (f"{self.name}.db",)
        answer = replace(
            self.edge.answer({}),
            streams=(about,),
            batches=tuple(self.stream.batches[:readable]),
            unreadable=unreadable,
        )
        self.edge.fault = answer.to_json()


@pytest.fixture
async def lost(world: World) -> Lost:
    """Return it, pulled as far as it goes."""
    edge = await world.add_edge()
    lost = Lost(world, edge, world.puller(edge))
    lost.tell()
    await lost.puller.pull()
    return lost


async def client_of(lost: Lost, aiohttp_client: AiohttpClient) -> TestClient[Any, Any]:
    """Return an operator's client."""
    return await api(lost.world, aiohttp_client, HITS_READ, HITS_WRITE, pullers=[lost.puller])


async def told(client: TestClient[Any, Any]) -> dict[str, Any]:
    """Return what is told of the one source."""
    answer: dict[str, Any] = (await (await client.get("/v1/sources")).json())["sources"][0]
    return answer


async def test_an_unreadable_file_is_a_fault_of_its_stream(
    lost: Lost, aiohttp_client: AiohttpClient
) -> None:
    """Named with what is missing, while everything before it is counted."""
    source = await told(await client_of(lost, aiohttp_client))

    assert source["streams"][0]["fault"] == UNREADABLE
    assert source["unreadable"] == [f"{lost.name}.db"]
    assert source["lag_records"] == 2
    assert await lost.world.paths() == ["/spring?n=0"]


async def test_a_stream_is_written_off_by_number(lost: Lost, aiohttp_client: AiohttpClient) -> None:
    """It lags no more, its announced end is acknowledged, and doing it again changes nothing."""
    client = await client_of(lost, aiohttp_client)
    body = {"stream": lost.name}
    seen = await (await client.get(PATH, params=body)).json()
    before = await told(client)
    done = await (await client.post(PATH, json=body)).json()
    await lost.puller.pull()
    first = await told(client)
    lost.world.clock.moment += 5_000
    again = await client.post(PATH, json=body)
    second = await told(client)

    assert seen == done
    assert done["records"] == 2
    assert done["unreadable"] == [f"{lost.name}.db"]
    assert again.status == 200
    assert (before["lag_records"], first["lag_records"], first["lag_seconds"]) == (2, 0, 0)
    assert first["streams"][0]["written_off"] == 2
    assert first["streams"][0]["abandoned"] == second["streams"][0]["abandoned"]
    assert lost.edge.asked[-1].acknowledged == {lost.stream.id: lost.end}
    assert lost.edge.asked[-1].cursors[lost.stream.id].seq == 1


async def test_what_is_written_off_keeps_no_key(lost: Lost, aiohttp_client: AiohttpClient) -> None:
    """Neither its missing batches nor its file hold up the end of an epoch."""
    client = await client_of(lost, aiohttp_client)
    question = f"/v1/drained?epoch=7&end_ms={START + 1}"
    before = await (await client.get(question)).json()
    await client.post(PATH, json={"stream": lost.name})
    lost.world.clock.moment += 5_000
    await lost.puller.pull()
    after = await (await client.get(question)).json()

    assert (before["drained"], before["clicks"]) == (False, 2)
    assert (after["drained"], after["clicks"]) == (True, 0)


async def test_what_comes_after_all_is_counted(lost: Lost, aiohttp_client: AiohttpClient) -> None:
    """A better copy of the file: nothing stays written off, and nothing counts twice."""
    client = await client_of(lost, aiohttp_client)
    await client.post(PATH, json={"stream": lost.name})
    lost.tell(readable=3)
    await lost.puller.pull()

    assert len(await lost.world.paths()) == 3
    assert (await told(client))["streams"][0]["written_off"] == 0


async def test_only_the_replicated_word_is_acknowledged(
    lost: Lost, aiohttp_client: AiohttpClient
) -> None:
    """A database that is restored to before it must still be able to take the file in."""

    class Copied:
        behind = False

        async def sync(self) -> None:
            pass

    lost.world.safe = Safe(lost.world.store, Copied())
    lost.puller = lost.world.puller(lost.edge)
    await lost.puller.pull()
    client = await client_of(lost, aiohttp_client)
    await client.post(PATH, json={"stream": lost.name})
    await lost.puller.pull()
    early = lost.edge.asked[-1].acknowledged
    await lost.world.safe.replicate()
    await lost.puller.pull()

    assert early == {}
    assert lost.edge.asked[-1].acknowledged == {lost.stream.id: lost.end}


async def test_a_stream_that_goes_on_is_not_abandoned_any_more(
    lost: Lost, aiohttp_client: AiohttpClient
) -> None:
    """Its machine came back: nobody knows what it will still hold."""
    client = await client_of(lost, aiohttp_client)
    await client.post(PATH, json={"stream": lost.name})
    lost.edge.fault = None
    lost.edge.limit = 1
    await lost.puller.pull()

    source = await told(client)
    assert "abandoned" not in source["streams"][0]
    assert source["lag_records"] == 1


async def test_a_source_that_is_gone_is_written_off_with_its_streams(
    lost: Lost, aiohttp_client: AiohttpClient
) -> None:
    """Refused while it answers; until it answers again it stays so."""
    client = await client_of(lost, aiohttp_client)
    body = {"source": lost.edge.url}
    refused = await client.post(PATH, json=body)
    lost.edge.fault = {"detail": "gone"}
    await lost.puller.step()
    done = await (await client.post(PATH, json=body)).json()
    moment = await lost.world.one("SELECT abandoned_ms FROM source")
    lost.stream.add(lost.world.epoch, [a_record(9)])
    lost.tell()
    await lost.puller.pull()

    assert refused.status == 409
    assert "one by one" in (await refused.json())["detail"]
    assert (done["records"], moment) == (2, lost.world.clock.moment)
    assert await lost.world.one("SELECT abandoned_ms FROM source") is None
    assert await lost.world.one("SELECT abandoned_ms FROM stream") is not None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"stream": "00" * 16}, 404),
        ({"stream": "00"}, 400),
        ({"source": "http://nobody"}, 404),
        ({"source": 7}, 400),
        ({}, 400),
        ({"stream": "00" * 16, "source": "u"}, 400),
        (["stream"], 400),
        (7, 400),
    ],
)
async def test_what_is_not_known_is_refused(
    lost: Lost, aiohttp_client: AiohttpClient, body: Any, status: int
) -> None:
    """With a sentence, and nothing written."""
    client = await client_of(lost, aiohttp_client)

    assert (await client.post(PATH, json=body)).status == status
    assert await lost.world.one("SELECT max(abandoned_ms) FROM stream") is None


async def test_a_reader_may_look_and_not_write_off(
    lost: Lost, aiohttp_client: AiohttpClient
) -> None:
    """Two scopes."""
    client = await api(lost.world, aiohttp_client, HITS_READ, pullers=[lost.puller])

    assert (await client.get(PATH, params={"stream": lost.name})).status == 200
    assert (await client.post(PATH, json={"stream": lost.name})).status == 403


@pytest.mark.parametrize(
    ("changes", "answers", "why"),
    [
        ({}, True, "is being written"),
        ({}, False, ""),
        ({"open": False}, True, ""),
        ({"fault": "a gap"}, True, ""),
        ({"present": False}, True, ""),
        ({"behind": False}, False, "nothing to write off"),
        ({"behind": False, "present": False, "unended": True}, True, ""),
        ({"behind": False, "abandoned_ms": Millis(1)}, True, ""),
    ],
)
def test_what_may_be_abandoned(changes: dict[str, Any], *, answers: bool, why: str) -> None:
    """Nothing that still flows, and nothing that is complete."""
    candidate = Candidate(
        stream=StreamId(bytes(16)),
        source="u",
        open=True,
        present=True,
        unended=False,
        fault=None,
        records=3,
        behind=True,
        abandoned_ms=None,
    )

    prospect = of_stream(replace(candidate, **changes), answers=answers, unreadable=["x.db"])

    assert (why in prospect.refused) if why else prospect.refused == ""
    assert prospect.unreadable == []
