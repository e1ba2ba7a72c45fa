"""Geo files: what is read from them, and what becomes of files that change or are broken."""

import itertools
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from regional_logger import metrics
from regional_logger.atlas import BYTES_MAX, Atlas, look_at
from regional_logger.place import NOWHERE, Place, combined, place_in
from tests.edge.mmdb import write_mmdb
from tests.edge.test_door import MakeEdge, a_door, serving

TEXAS: dict[str, Any] = {
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "registered_country": {"iso_code": "CA"},
    "subdivisions": [{"iso_code": "TX"}, {"iso_code": "XX"}],
}
NETWORK = {"autonomous_system_number": 64_500, "autonomous_system_organization": "x" * 400}
FRANCE = {"country": {"iso_code": "FR"}}
MOMENTS = itertools.count(1_763_640_000)  # two writes in one tick of the disk's clock look like one
NO_COUNTRIES: list[Any] = ["", "us", "USA", "U1", "US\n", "ÄÖ", "A" * 5_000, 7, None, ["US"], True]
NO_NUMBERS: list[Any] = [0, -1, 1 << 32, 1 << 100, True, "64500", 1.5, None, [1]]
NO_ANSWERS: list[Any] = [None, "US", 7, [], {}, [TEXAS]]
VISITOR = "203.0.113.9"


def geo(country: str) -> bytes:
    """Return a file that has everybody in *country*."""
    told = {"country": {"iso_code": country}}
    return write_mmdb({"0.0.0.0/1": told, "128.0.0.0/1": told})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the geo file is to be."""
    return tmp_path / "geo.mmdb"


def put(path: Path, content: bytes) -> None:
    """Write over whatever is at *path*, in place, and at another moment than all others."""
    path.write_bytes(content)
    moment = next(MOMENTS)
    os.utime(path, (moment, moment))


def put_in_place(path: Path, content: bytes) -> None:
    """Have *content* at *path* at one moment, as one ought to."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def take_away(path: Path) -> None:
    """Delete what is at *path*."""
    path.unlink()


async def an_atlas(*paths: Path) -> Atlas:
    """Return an atlas of the files at *paths* as they are now."""
    atlas = Atlas(paths)
    await atlas.refresh()
    return atlas


@pytest.mark.parametrize("mode", [maxminddb.MODE_MMAP_EXT, maxminddb.MODE_MEMORY])
@pytest.mark.parametrize("ip_version", [4, 6])
def test_the_files_of_these_tests_are_what_they_seem(
    path: Path, mode: int, ip_version: int
) -> None:
    """The library reads back every type and every network, and nothing beside them."""
    value = {"a": [1, 1 << 40, True, False, "é" * 300, {"b": 2}], **TEXAS}
    path.write_bytes(
        write_mmdb({"192.0.2.0/25": value, "198.51.100.7/32": 7}, ip_version=ip_version)
    )

    with maxminddb.open_database(path, mode) as reader:
        assert reader.get("192.0.2.127") == value
        assert reader.get("198.51.100.7") == 7
        assert reader.get("192.0.2.128") is None
        assert reader.get("198.51.100.6") is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (TEXAS, Place("US", "TX")),
        (NETWORK, Place(asn=64_500)),
        (TEXAS | NETWORK, Place("US", "TX", 64_500)),
        (FRANCE, Place("FR")),
        ({"registered_country": {"iso_code": "CA"}}, NOWHERE),
        ({"subdivisions": [{"iso_code": "TX"}]}, NOWHERE),
        (FRANCE | {"subdivisions": []}, Place("FR")),
        (FRANCE | {"subdivisions": [{}]}, Place("FR")),
        (FRANCE | {"subdivisions": "IDF"}, Place("FR")),
        (FRANCE | {"subdivisions": ["IDF"]}, Place("FR")),
        (FRANCE | {"subdivisions": [{"iso_code": "IDF"}]}, Place("FR", "IDF")),
        (FRANCE | {"subdivisions": [{"iso_code": "75\n"}]}, Place("FR")),
        (FRANCE | {"subdivisions": [{"iso_code": "A" * 5_000}]}, Place("FR")),
        (FRANCE | {"subdivisions": [{"iso_code": 75}]}, Place("FR")),
        *(({"country": {"iso_code": code}}, NOWHERE) for code in NO_COUNTRIES),
        *(({"country": country}, NOWHERE) for country in ("US", ["US"], 7, None)),
        *(({"autonomous_system_number": number}, NOWHERE) for number in NO_NUMBERS),
        ({"autonomous_system_number": (1 << 32) - 1}, Place(asn=(1 << 32) - 1)),
        *((answer, NOWHERE) for answer in NO_ANSWERS),
    ],
)
def test_only_what_is_as_it_should_be_is_taken(told: object, expected: Place) -> None:
    """Whoever made the file, no text without bound and no wrong type reaches a record."""
    assert place_in(told) == expected


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], NOWHERE),
        ([Place("US", "TX"), Place(asn=1)], Place("US", "TX", 1)),
        ([Place(asn=1), Place("US", "TX")], Place("US", "TX", 1)),
        ([Place("FR"), Place("US", "TX", 2)], Place("FR", None, 2)),
        ([Place("US", asn=1), Place("FR", "IDF", 2)], Place("US", None, 1)),
    ],
)
def test_two_files_complete_each_other(places: list[Place], expected: Place) -> None:
    """The first wins, and no subdivision comes from another file than its country."""
    assert combined(places) == expected


async def test_every_form_of_address_is_found(path: Path) -> None:
    """IPv4, IPv6, one address inside a /64, and what no file knows."""
    put(
        path,
        write_mmdb(
            {"203.0.113.0/24": TEXAS, "2001:db8::/64": FRANCE, "2001:db8:0:1::5/128": NETWORK}
        ),
    )
    atlas = await an_atlas(path)

    assert atlas.find(VISITOR) == Place("US", "TX")
    assert atlas.find("2001:db8::1234") == Place("FR")
    assert atlas.find("2001:db8:0:1::5") == Place(asn=64_500)
    assert atlas.find("2001:db8:0:1::6") == NOWHERE
    assert atlas.find("198.51.100.1") == NOWHERE


async def test_a_file_for_ipv4_alone_says_nothing_of_ipv6(path: Path) -> None:
    """And asking it is no error."""
    put(path, write_mmdb({"203.0.113.0/24": TEXAS}, ip_version=4))
    atlas = await an_atlas(path)
    before = metrics.PLACE_ERRORS._value.get()

    assert atlas.find(VISITOR) == Place("US", "TX")
    assert atlas.find("2001:db8::1") == NOWHERE
    assert metrics.PLACE_ERRORS._value.get() == before


async def test_a_file_that_changes_is_taken_in(path: Path) -> None:
    """Written in place or put in its place, and read once for each change."""
    put(path, geo("US"))
    atlas = await an_atlas(path)
    with capture_logs() as lines:
        await atlas.refresh()
        assert lines == []

        put(path, geo("FR"))
        await atlas.refresh()
        assert atlas.find(VISITOR) == Place("FR")

        put_in_place(path, geo("JP"))
        await atlas.refresh()
        assert atlas.find(VISITOR) == Place("JP")


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no such format", geo("FR")[:-40], geo("FR")[:20], geo("FR")[-200:], bytes(100_000)],
    ids=["empty", "other", "cut", "cut short", "end alone", "zeros"],
)
async def test_a_damaged_file_leaves_the_older_one_in_use(path: Path, damaged: bytes) -> None:
    """Also when it is overwritten in place; one warning names the file, and it may come back."""
    put(path, geo("US"))
    atlas = await an_atlas(path)

    put(path, damaged)
    assert atlas.find(VISITOR) == Place("US")
    with capture_logs() as lines:
        await atlas.refresh()
        await atlas.refresh()

    (line,) = lines
    assert (line["event"], line["file"], line["older_in_use"]) == (
        "geo_file.refused",
        str(path),
        True,
    )
    assert atlas.find(VISITOR) == Place("US")
    assert metrics.GEO_FILES_REFUSED._value.get() == 1

    put(path, geo("FR"))
    await atlas.refresh()
    assert atlas.find(VISITOR) == Place("FR")
    assert metrics.GEO_FILES_REFUSED._value.get() == 0


async def test_a_file_that_is_not_there_is_waited_for(path: Path, tmp_path: Path) -> None:
    """The other one works meanwhile; and what goes away later stays in use."""
    networks = tmp_path / "asn.mmdb"
    put(networks, write_mmdb({"203.0.113.0/24": NETWORK}))
    with capture_logs() as lines:
        atlas = await an_atlas(path, networks)
    refused = [line for line in lines if line["event"] == "geo_file.refused"]
    assert [line["reason"] for line in refused] == ["No such file or directory"]
    assert atlas.find(VISITOR) == Place(asn=64_500)

    put(path, geo("US"))
    await atlas.refresh()
    assert atlas.find(VISITOR) == Place("US", None, 64_500)

    take_away(path)
    await atlas.refresh()
    assert atlas.find(VISITOR) == Place("US", None, 64_500)


async def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, and one file too large to copy."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(BYTES_MAX + 1)

    for path in (tmp_path, pipe, large):
        found = look_at(path, None)
        assert found is not None
        assert found.fault == "want a file of at most 512 MiB"


@pytest.mark.parametrize("in_c", [True, False])
def test_both_readers_of_the_library_will_do(path: Path, in_c: bool) -> None:  # noqa: FBT001
    """Where there is no wheel with the part in C, the other is slower and says the same."""
    path.write_bytes(write_mmdb({"203.0.113.0/24": TEXAS}))
    found = look_at(path, None, in_c=in_c)

    assert found is not None
    assert found.reader is not None
    path.write_bytes(b"overwritten")
    assert place_in(found.reader.get(VISITOR)) == Place("US", "TX")


async def test_no_file_can_break_a_lookup(path: Path) -> None:
    """Whatever bytes are wrong in it: a visit is without a place then, and no more."""
    chance = random.Random(5)
    good = write_mmdb({"203.0.113.0/24": TEXAS | NETWORK, "2001:db8::/32": FRANCE})
    atlas = Atlas([path])
    with capture_logs() as lines:
        for _ in range(300):
            broken = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            put(path, bytes(broken))
            await atlas.refresh()
            for address in (VISITOR, "203.0.113.200", "2001:db8::1"):
                place = atlas.find(address)
                assert place.country is None or len(place.country) == 2

    assert {line["event"] for line in lines} == {
        "geo_file.loaded",
        "geo_file.refused",
        "place.failed",
    }
    assert "203.0" not in repr(lines)
    assert "2001:db8" not in repr(lines)


async def test_a_visit_is_recorded_with_its_place(make_edge: MakeEdge, path: Path) -> None:
    """Through the door and out of the log; who opts out has none."""
    put(path, write_mmdb({"127.0.0.0/8": TEXAS | NETWORK}))
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    door = replace(a_door(edge), find_place=(await an_atlas(path)).find)
    async with serving(door) as base_url, ClientSession(base_url) as session:
        for headers in ({}, {"Sec-GPC": "1"}, {"X-Forwarded-For": "203.0.113.9"}):
            async with session.get("/promo", headers=headers, allow_redirects=False) as response:
                assert response.status == 302

    records = await edge.records()
    places = [(record.country, record.subdivision, record.asn) for record in records]
    assert places == [("US", "TX", 64_500), (None, None, None), ("US", "TX", 64_500)]
