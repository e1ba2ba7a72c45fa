"""Following a feed that says what the test wants it to."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from milepost.errors import ForbiddenError, UnavailableError
from milepost.links import FeedPlace, Link
from milepost.sse import Event, frame
from milepost.vocabulary import LinkId, Position
from regional_logger.links.news import Change
from tests.edge.links_world import (
    HISTORY,
    OTHER,
    Edge,
    ScriptedFeed,
    a_link,
    change,
    edge,
    snapshot,
)
from tests.link_registry.registry_world import READER, running_registry

ONE, TWO, THREE = a_link("1", "/1"), a_link("2", "/2"), a_link("3", "/3")


def _at(position: int) -> str:
    return f"{HISTORY}:{position}"


async def _hold(one: Edge) -> None:
    """Give the edge link ONE as of position 5."""
    await one.hold(FeedPlace(HISTORY, Position(5)), ONE)


async def test_a_replica_on_disk_is_enough_to_begin(tmp_path: Path) -> None:
    """An edge that starts while the registry is down serves what it knew."""
    async with edge(tmp_path, "http://127.0.0.1:9") as before:
        assert not before.follower.synced
        await _hold(before)
    async with edge(tmp_path, "http://127.0.0.1:9") as after:
        assert after.follower.synced
        assert after.follower.position == 5
        assert await after.find("any.example", "/1") == ONE
        with pytest.raises(UnavailableError):
            await after.follower.follow()


async def test_a_snapshot_that_is_cut_changes_nothing(tmp_path: Path) -> None:
    """Half of the links is worse than the old ones; the next connection asks again."""
    feed = ScriptedFeed([snapshot([TWO], last=False)], [snapshot([THREE], place=_at(9))])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        kept = await one.on_disk(), await one.found(), one.follower.position
        await one.follower.follow()
        new = await one.on_disk(), await one.found(), one.follower.position

    assert kept == ({"1": ONE}, {"1": ONE}, 5)
    assert new == ({"3": THREE}, {"3": THREE}, 9)
    assert feed.asked == [_at(5), _at(5)]


async def test_what_is_held_is_passed_over(tmp_path: Path) -> None:
    """A repeated change is not applied a second time, nor is an old one."""
    stale = ONE.to_rule() | {"destination": "https://stale.example/"}
    feed = ScriptedFeed(
        [change("update", stale, _at(4)), change("delete", ONE, _at(5))],
        [change("create", TWO, _at(6)), change("delete", TWO, _at(6))],
    )
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        await one.follower.follow()
        held = await one.on_disk(), await one.found(), one.follower.position

    assert held == ({"1": ONE, "2": TWO}, {"1": ONE, "2": TWO}, 6)


@pytest.mark.parametrize(
    "script",
    [
        [change("create", TWO, _at(7))],
        [change("create", TWO, f"{OTHER}:6")],
        [snapshot([TWO], last=False), change("create", TWO, _at(6))],
    ],
    ids=["a gap", "another history", "a change inside a snapshot"],
)
async def test_what_does_not_follow_needs_a_snapshot(tmp_path: Path, script: list[bytes]) -> None:
    """The old links are served until it is there, and nothing is resumed from."""
    feed = ScriptedFeed(script, [snapshot([THREE], place=f"{OTHER}:1")], [])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        with pytest.raises(UnavailableError, match="a snapshot is needed"):
            await one.follower.follow()
        kept = await one.on_disk(), await one.found(), one.follower.position
        await one.follower.follow()
        await one.follower.follow()
        new = await one.on_disk(), await one.found(), one.follower.position

    assert kept == ({"1": ONE}, {"1": ONE}, 5)
    assert new == ({"3": THREE}, {"3": THREE}, 1)
    assert feed.asked == [_at(5), "", f"{OTHER}:1"]


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        ("create", TWO.to_rule() | {"status": 200}),
        ("create", TWO.to_rule() | {"colour": "red"}),
        ("create", {"path": "/2"}),
        ("create", None),
        ("create", []),
        ("update", ONE.to_rule() | {"destination": "javascript:alert(1)"}),
        ("delete", {}),
        ("delete", None),
        ("rename", TWO.to_rule()),
    ],
)
async def test_a_rule_that_cannot_be_served_is_skipped(
    tmp_path: Path, action: str, rule: Any
) -> None:
    """What follows is applied, and the position has gone on, on disk too."""
    feed = ScriptedFeed([change(action, rule, _at(6)), change("create", THREE, _at(7))])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        held, on_disk = await one.found(), await one.on_disk()
        place = await one.store.place()

    assert held == {"1": ONE, "3": THREE}
    assert on_disk == held
    assert place == FeedPlace(HISTORY, Position(7))


async def test_a_faulty_rule_in_a_snapshot_is_skipped(tmp_path: Path) -> None:
    """The others are held."""
    faulty = [TWO.to_rule() | {"path": "/"}, None, {"id": 7}]
    feed = ScriptedFeed([snapshot([ONE, *faulty, THREE], place=_at(1))])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await one.follower.follow()
        held = await one.on_disk(), await one.found()

    assert held == ({"1": ONE, "3": THREE}, {"1": ONE, "3": THREE})


@pytest.mark.parametrize(
    "script",
    [
        [b"event: snapshot\ndata: {\n\n"],
        [b"event: snapshot\ndata: []\n\n"],
        [b'event: snapshot\ndata: {"links": 7, "last": true}\n\n'],
        [snapshot([TWO], place="")],
        [change("create", TWO, "")],
        [change("create", TWO, f"{HISTORY}:-1")],
        [b"data: hello\n\n"],
    ],
)
async def test_what_cannot_be_placed_changes_nothing(tmp_path: Path, script: list[bytes]) -> None:
    """It ends the connection as an expected error, and the links stay."""
    feed = ScriptedFeed(script)
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        with pytest.raises(UnavailableError):
            await one.follower.follow()
        held = await one.on_disk(), await one.found(), one.follower.position

    assert held == ({"1": ONE}, {"1": ONE}, 5)


async def test_silence_ends_the_connection(tmp_path: Path) -> None:
    """A line that is dead without a sign is given up, and the next one resumes."""
    feed = ScriptedFeed([snapshot([ONE], place=_at(1))], silent=True)
    async with (
        feed.running() as url,
        edge(tmp_path, url, silence_seconds_max=0.05) as one,
        asyncio.timeout(5),
    ):
        with pytest.raises(UnavailableError):
            await one.follower.follow()

        assert one.follower.position == 1
        assert one.follower.heard_ms is not None


async def test_a_token_without_the_scope_is_an_expected_error(tmp_path: Path) -> None:
    """The edge goes on serving what it has, and its loop tries again."""
    async with running_registry(tmp_path) as registry, edge(tmp_path, registry.url) as one:
        one.follower._client._headers = {"Authorization": f"Bearer {READER}"}
        with pytest.raises(ForbiddenError):
            await one.follower.follow()


@pytest.mark.parametrize("happened", [False, True], ids=["before commit", "after commit"])
async def test_a_failed_write_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, happened: bool
) -> None:
    """Whether or not it reached the disk, the next connection brings the change again."""
    again = [change("delete", ONE, _at(6)), change("create", TWO, _at(7))]
    feed = ScriptedFeed(again, again)
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.find("", "/1")
        real = one.store.apply

        async def failing(*told: Change) -> tuple[Link, ...]:
            if happened:
                await real(*told)
            msg = "disk full"
            raise UnavailableError(msg)

        monkeypatch.setattr(one.store, "apply", failing)
        with pytest.raises(UnavailableError, match="disk full"):
            await one.follower.follow()
        memory, outline = one.links.table.find("", "/1"), one.links.table._outline
        monkeypatch.undo()
        await one.follower.follow()
        held = await one.on_disk(), await one.found(), one.follower.position
        kept = one.links.table._outline is outline

    assert memory == ONE
    assert kept is not happened
    assert held == ({"2": TWO}, {"2": TWO}, 7)
    assert feed.asked == [_at(5), _at(7 if happened else 5)]


async def test_applying_twice_is_applying_once(tmp_path: Path) -> None:
    """Every write of the replica is safe to repeat."""
    place = FeedPlace(HISTORY, Position(6))
    async with edge(tmp_path, "http://127.0.0.1:9") as one:
        await _hold(one)
        for told in (Change(place=place, put=TWO), Change(place=place, remove=LinkId("1"))):
            await one.store.apply(told)
            await one.store.apply(told)
        held = await one.store.links(), await one.store.place()

    assert held == ([TWO], place)


async def test_what_arrived_of_a_snapshot_that_was_cut_is_forgotten(tmp_path: Path) -> None:
    """Nobody finds it meanwhile, not after a restart, and not among the next one's links."""
    async with edge(tmp_path, "http://127.0.0.1:9") as one:
        await _hold(one)
        await one.store.arrive([TWO], first=True)
        before = await one.on_disk(), await one.find("", "/2")
    async with edge(tmp_path, "http://127.0.0.1:9") as one:
        await one.store.arrive([THREE], first=True)
        after = await one.on_disk(), await one.find("", "/2")
        await one.store.take_arrived(FeedPlace(HISTORY, Position(9)))
        held = await one.on_disk()

    assert before == after == ({"1": ONE}, None)
    assert held == {"3": THREE}


async def test_a_link_at_the_place_of_another_takes_it(tmp_path: Path) -> None:
    """The other one's move was skipped as faulty: the registry has one link at a place."""
    new = a_link("9", "/1", destination="https://new.example/")
    feed = ScriptedFeed([change("create", new, _at(6)), change("delete", ONE, _at(7))])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        held = await one.on_disk(), await one.found(), len(one.links.table)

    assert held == ({"9": new}, {"9": new}, 1)


async def test_what_arrives_together_is_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge takes in a thousand changes without waiting for the disk a thousand times."""
    links = [a_link(f"m{n}", f"/many/{n}") for n in range(1_000)]
    script = b"".join(change("create", link, _at(6 + n)) for n, link in enumerate(links))
    feed = ScriptedFeed([script])
    writes: list[int] = []
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        real = one.store.apply

        async def counting(*told: Change) -> list[tuple[Link, ...]]:
            writes.append(len(told))
            return await real(*told)

        monkeypatch.setattr(one.store, "apply", counting)
        await one.follower.follow()
        held, found = await one.on_disk(), await one.find("", "/many/999")

    assert sum(writes) == 1_000
    assert len(writes) < 50
    assert len(held) == 1_001
    assert found == links[999]


async def test_what_came_before_a_fault_is_applied(tmp_path: Path) -> None:
    """Though it arrived together with what cannot be read, or does not follow."""
    for fault in (b"data: hello\n\n", change("create", THREE, _at(9))):
        folder = tmp_path / str(len(fault))
        folder.mkdir()
        feed = ScriptedFeed([change("create", TWO, _at(6)) + fault])
        async with feed.running() as url, edge(folder, url) as one:
            await _hold(one)
            with pytest.raises(UnavailableError):
                await one.follower.follow()

            assert await one.on_disk() == {"1": ONE, "2": TWO}
            assert one.follower.position == 6


async def test_a_snapshot_in_the_middle_of_changes(tmp_path: Path) -> None:
    """What came before it is applied first, and what follows it after."""
    script = [
        change("create", TWO, _at(6))
        + snapshot([THREE], place=f"{OTHER}:1")
        + change("create", ONE, f"{OTHER}:2")
    ]
    feed = ScriptedFeed(script)
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        held = await one.on_disk(), await one.found(), one.follower.place

    assert held == ({"1": ONE, "3": THREE}, {"1": ONE, "3": THREE}, FeedPlace(OTHER, Position(2)))


def _goes_on(after: str, place: str) -> bytes:
    return frame(Event("continue", orjson.dumps({"after": after}), place))


async def test_a_history_that_goes_on_from_the_one_held(tmp_path: Path) -> None:
    """The links stay as they are, the place is another, on disk too; told twice it is one step."""
    script = [_goes_on(_at(5), f"{OTHER}:5") * 2 + change("create", TWO, f"{OTHER}:6")]
    feed = ScriptedFeed(script)
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        await one.follower.follow()
        held, place = await one.found(), await one.store.place()

    assert held == {"1": ONE, "2": TWO}
    assert place == one.follower.place == FeedPlace(OTHER, Position(6))


@pytest.mark.parametrize(
    "told",
    [
        _goes_on(_at(4), f"{OTHER}:4"),
        _goes_on(f"{OTHER}:5", f"{OTHER}:5"),
        _goes_on(f"{OTHER}:6", _at(6)),
        _goes_on(_at(5), f"{OTHER}:6"),
        _goes_on("nonsense", f"{OTHER}:5"),
        frame(Event("continue", b"[]", f"{OTHER}:5")),
    ],
    ids=["older", "another's", "the next place", "a step", "no place", "nothing"],
)
async def test_a_history_that_goes_on_from_elsewhere(tmp_path: Path, told: bytes) -> None:
    """Nothing is taken of it, and nothing is lost."""
    feed = ScriptedFeed([told])
    async with feed.running() as url, edge(tmp_path, url) as one:
        await _hold(one)
        with pytest.raises(UnavailableError):
            await one.follower.follow()
        held, place = await one.found(), await one.store.place()

    assert held == {"1": ONE}
    assert place == FeedPlace(HISTORY, Position(5))
