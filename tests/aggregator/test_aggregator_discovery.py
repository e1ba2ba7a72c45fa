"""Discovery: who is found is pulled, and who is gone is known to be."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.app import unready
from aggregator.discovery import keeper as keeper_module
from aggregator.discovery import names as names_module
from aggregator.discovery.finding import Finder, Where
from aggregator.discovery.names import Names
from aggregator.discovery.rules import (
    MACHINES_MAX,
    ROUNDS_ABSENT,
    Found,
    Listing,
    count_absences,
    gone,
    read_machines,
)
from aggregator.discovery.sources import Sources
from milepost.errors import UnavailableError
from milepost.vocabulary import Millis
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.dns_world import FAULTS, Dnsmasq, FaultyDns, Platform, needs_dnsmasq

A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[Dnsmasq]:
    """Return a DNS that has been told nothing yet."""
    found = Dnsmasq(tmp_path)
    yield found
    found.stop()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return what is closed at the end."""
    async with AsyncExitStack() as found:
        yield found


@pytest.fixture
async def platform(world: World, stack: AsyncExitStack) -> Platform:
    """Return a world with a port on which its machines stand."""
    return Platform(world, stack)


def urls(sources: Sources) -> list[str]:
    """Return who is pulled."""
    return [each.url for each in sources]


@given(st.lists(st.from_regex(r"[a-z0-9]{1,14}", fullmatch=True), max_size=30), st.integers(1, 9))
def test_machines_are_read_however_they_are_cut(machines: list[str], size: int) -> None:
    """A string of a TXT record ends anywhere, also in the middle of a name."""
    text = ",".join(f"{machine} dfw" for machine in machines).encode()
    strings = [text[at : at + size] for at in range(0, len(text), size)]

    assert read_machines([strings]) == Listing(frozenset(machines))


@pytest.mark.parametrize(
    "part", ["m2", "m2 ", "M2 dfw", "../x dfw", "a.b dfw", "m2 df w", "m" * 64 + " dfw", "\xff dfw"]
)
def test_nonsense_is_counted_and_not_used(part: str) -> None:
    """It could be a machine that was garbled, so nobody may be taken for gone."""
    text = f"m1 dfw,{part}".encode("latin-1")

    assert read_machines([[text]]) == Listing(frozenset({"m1"}), odd=1)


def test_too_many_machines_are_refused() -> None:
    """As a whole: which of them to leave out nobody could say."""
    text = ",".join(f"m{number} dfw" for number in range(10_000)).encode()

    with pytest.raises(UnavailableError, match=f"at most {MACHINES_MAX}|bytes"):
        read_machines([[text]])
    with pytest.raises(UnavailableError, match="bytes"):
        read_machines([[b"x" * 65_537]])


def test_only_whole_answers_in_a_row_make_a_machine_gone() -> None:
    """An answer in part brings back whom it names, and counts against nobody."""
    pulled = {"a", "b"}
    absences: dict[str, int] = {}
    for _ in range(ROUNDS_ABSENT - 1):
        absences = count_absences(absences, pulled, Found(frozenset({"a"}), whole=True))
    absences = count_absences(absences, pulled, Found(frozenset({"a"}), whole=False))
    nearly = gone(absences)
    last = count_absences(absences, pulled, Found(frozenset({"a"}), whole=True))
    back = count_absences(absences, pulled, Found(frozenset({"b"}), whole=False))

    assert nearly == frozenset()
    assert gone(last) == {"b"}
    assert back == {}


@needs_dnsmasq
async def test_machines_come_go_and_come_back(dnsmasq: Dnsmasq, platform: Platform) -> None:
    """Pulled as soon as they are found; gone after a minute; back where they were."""
    one, two = await platform.machine(A), await platform.machine(B, "cdg")
    one.begin().add(platform.world.epoch, [a_record(1)])
    stream = two.begin()
    stream.add(platform.world.epoch, [a_record(2)])
    dnsmasq.tell({"m1": A}, others={"k1": C})
    keeper = await platform.keeper(dnsmasq.server)
    platform.run()
    assert platform.sources.lacks(Millis(START))
    await keeper.step()
    assert not platform.sources.lacks(Millis(START))
    assert urls(platform.sources) == [platform.url("m1")]
    assert await platform.paths(1) == ["/spring?n=1"]

    dnsmasq.tell({"m1": A, "m2": B}, others={"k1": C})
    await keeper.step()
    await platform.paths(2)
    dnsmasq.tell({"m1": A})
    for _ in range(ROUNDS_ABSENT - 1):
        await keeper.step()
    assert platform.url("m2") in platform.sources
    await keeper.step()
    assert urls(platform.sources) == [platform.url("m1")]
    row = await platform.world.readers.row("SELECT url, asked_ms > 0 FROM source WHERE gone_ms > 0")
    assert tuple(row or ()) == (platform.url("m2"), 1)

    asked = len(two.asked)
    stream.add(platform.world.epoch, [a_record(3)])
    dnsmasq.tell({"m1": A, "m2": B})
    await keeper.step()
    assert (await platform.paths(3))[2] == "/spring?n=3"
    assert all(each.cursors for each in two.asked[asked:])
    assert await platform.world.one("SELECT count(*) FROM source WHERE gone_ms > 0") == 0


@needs_dnsmasq
async def test_a_machine_that_moves_stays_one_source(dnsmasq: Dnsmasq, platform: Platform) -> None:
    """Its address is another; its name, its cursors and its row are the same."""
    edge = await platform.machine(A)
    stream = edge.begin()
    stream.add(platform.world.epoch, [a_record(1)])
    dnsmasq.tell({"m1": A})
    keeper = await platform.keeper(dnsmasq.server)
    platform.run()
    await keeper.step()
    await platform.paths(1)

    await platform.serve(edge, B)
    dnsmasq.tell({"m1": B})
    await platform.servers[A].close()
    stream.add(platform.world.epoch, [a_record(2)])
    await keeper.step()

    assert await platform.paths(2) == ["/spring?n=1", "/spring?n=2"]
    assert await platform.world.one("SELECT count(*) FROM source") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("SERVFAIL", "(NoNameservers)"),
        ("REFUSED", "(NoNameservers)"),
        ("NXDOMAIN", "the DNS names no machine of the app edges"),
        ("empty", "the DNS names no machine of the app edges"),
        pytest.param("silence", "(LifetimeTimeout)", marks=pytest.mark.slow),
        pytest.param("garbage", "(LifetimeTimeout)", marks=pytest.mark.slow),
    ],
)
async def test_a_dns_that_fails_changes_nothing(
    platform: Platform,
    stack: AsyncExitStack,
    fault: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often; what is pulled goes on, and why nothing is found is told."""
    monkeypatch.setattr(names_module, "ANSWER_SECONDS", 0.05)
    edge = await platform.world.add_edge()
    known = platform.url("m1")
    faulty = FaultyDns(FAULTS[fault])
    before = await platform.keeper(None, known)
    await before.step()
    platform.sources.remove(known)
    platform.schedule.remove(known, lambda: None)
    keeper = await platform.keeper(await faulty.start(stack), edge.url)
    for _ in range(ROUNDS_ABSENT + 1):
        await keeper.step()

    assert sorted(urls(platform.sources)) == sorted([edge.url, known])
    assert (platform.sources.discovery or "").endswith(reason)
    assert platform.sources.lacks(Millis(START))
    assert faulty.asked > ROUNDS_ABSENT
    assert (faulty.answered > 0) is (fault != "silence")


async def test_every_wait_for_a_dns_is_bounded(stack: AsyncExitStack) -> None:
    """And each is an error that may pass, whatever the DNS does."""
    names = Names(await FaultyDns(FAULTS["silence"]).start(stack))
    names._resolver.lifetime = 0.05

    with pytest.raises(UnavailableError, match="does not answer"):
        await names.texts("vms.edges.internal")
    with pytest.raises(UnavailableError, match="does not answer"):
        await names.addresses("x" * 64 + ".internal")


async def test_who_was_written_off_counts_again_when_it_answers(platform: Platform) -> None:
    """It is asked for as long as it is named; until it answers, nothing waits for it."""
    edge = await platform.world.add_edge()
    sql = "UPDATE source SET abandoned_ms = 1"
    await platform.keeper(None, edge.url)
    await platform.world.writer.transact(lambda db: db.execute(sql).rowcount)
    platform.sources = Sources()

    await platform.keeper(None, edge.url)

    assert edge.url not in unready(platform.world.keyring, platform.sources)
    edge.begin().add(platform.world.epoch, [a_record(1)])
    for puller in platform.sources:
        await puller.step()
    assert await platform.world.paths() == ["/spring?n=1"]
    assert await platform.world.one("SELECT abandoned_ms FROM source") is None


async def test_who_is_taken_off_the_list_is_gone_at_the_next_start(platform: Platform) -> None:
    """And known again when it is put back."""
    edge, other = await platform.world.add_edge(), await platform.world.add_edge()
    states = []
    for listed in ([edge.url, other.url], [edge.url], [other.url, edge.url]):
        platform.sources = Sources()
        await platform.keeper(None, *listed)
        gone_count = await platform.world.one("SELECT count(*) FROM source WHERE gone_ms > 0")
        states.append((urls(platform.sources), gone_count))

    assert states == [([edge.url, other.url], 0), ([edge.url], 1), ([other.url, edge.url], 0)]


@needs_dnsmasq
async def test_no_more_sources_are_taken_in_than_there_is_room_for(
    dnsmasq: Dnsmasq, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DNS that names others all the time fills nothing, and what is left out is told."""
    monkeypatch.setattr(keeper_module, "SOURCES_MAX", 2)
    dnsmasq.tell({"m1": A, "m2": B, "m3": C})
    keeper = await platform.keeper(dnsmasq.server)
    await keeper.step()

    assert urls(platform.sources) == [platform.url("m1"), platform.url("m2")]
    assert platform.sources.discovery == "1 machines are not pulled: at most 2 sources are"
    assert platform.sources.lacks(Millis(START))


@needs_dnsmasq
async def test_machines_that_cannot_be_placed_are_no_proof_of_absence(
    dnsmasq: Dnsmasq, platform: Platform
) -> None:
    """What the DNS garbles, or does not answer for, may be anybody."""
    dnsmasq.tell({"m1": A, "m2": B})
    keeper = await platform.keeper(dnsmasq.server)
    await keeper.step()
    dnsmasq.tell({"m1": A, "M!": B})
    for _ in range(ROUNDS_ABSENT + 1):
        await keeper.step()

    assert urls(platform.sources) == [platform.url("m1"), platform.url("m2")]
    assert "in part" in (platform.sources.discovery or "")


@needs_dnsmasq
async def test_many_machines_are_found_in_one_look(dnsmasq: Dnsmasq) -> None:
    """More than a datagram holds: in several records, and over TCP."""
    machines = {f"{number:x}": f"127.0.{1 + number // 99}.{number % 99}" for number in range(300)}
    dnsmasq.tell(machines, others={"k1": A})
    where = Where("edges", "edge", 8081)
    found = await Finder(Names(dnsmasq.server), where).find()

    assert found == Found(frozenset(map(where.url, machines)), whole=True)
