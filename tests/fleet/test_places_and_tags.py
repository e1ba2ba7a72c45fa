"""What is told of a visit beside its path, from the door to the query API."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from milepost.fleet import Fleet
from tests.edge.mmdb import write_mmdb
from tests.fleet.kit import all_hits, platform, visitors
from tests.fleet.test_clicks_counted import command, find_addresses

pytestmark = pytest.mark.slow

TEXAN, PARISIAN, UNKNOWN = "127.9.1.1", "127.9.2.2", "127.9.3.3"
PLACES = {
    "127.9.1.0/24": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "TX"}]},
    "127.9.2.0/24": {"country": {"iso_code": "FR"}},
}
NETWORKS = {
    "127.9.1.1/32": {"autonomous_system_number": 64_500},
    "127.9.3.0/24": {"autonomous_system_number": 64_501},
}
TARGET_CHARS_MAX = 4_096
UTM = (
    "utm_source=a%20b+c&utm_medium=%C3%A9&utm_campaign=x=1;y&utm_term=&utm_content=%zz&utm_id=1%2F2"
)


async def go(fleet: Fleet, address: str, raw: str, **headers: str) -> int:
    """Visit *raw* from *address*, each time over a connection of its own; return the status."""
    url = URL(fleet.regions[0].url + raw, encoded=True)
    async with (
        visitors(address) as session,
        session.get(url, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


async def hits_by_path(fleet: Fleet, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the hits by their path, once all that are *wanted* have come."""
    hits: dict[str, dict[str, Any]] = {}
    for _ in range(100):
        hits = {hit["path"]: hit for hit in await all_hits(fleet)}
        if set(wanted) <= set(hits):
            break
        await asyncio.sleep(0.1)
    return hits


def place_of(hit: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a hit says of where it comes from."""
    return hit.get("country"), hit.get("subdivision"), hit.get("asn")


def files(folder: Path) -> str:
    """Write both files; return the setting that names them."""
    places, networks = folder / "places.mmdb", folder / "networks.mmdb"
    places.write_bytes(write_mmdb(PLACES))
    networks.write_bytes(write_mmdb(NETWORKS))
    return f"{places},{networks}"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_every_worker_tells_where_a_visit_comes_from(tmp_path: Path, workers: str) -> None:
    """The hit has it, no file has the address, and a changed file is taken in by all."""
    env = {"MILEPOST_GEO_FILE": files(tmp_path)}
    options = ("--regions", "dfw", "--workers", workers)
    with platform(tmp_path / "fleet", *options, env=env) as running:
        fleet = running.wait_ready()
        for number in range(12):  # the kernel deals connections out to the workers
            await go(fleet, TEXAN, f"/e/t.example/texan/{number}")
        await go(fleet, PARISIAN, "/e/t.example/parisian")
        await go(fleet, UNKNOWN, "/e/t.example/unknown")
        await go(fleet, TEXAN, "/e/t.example/quiet", DNT="1")
        (tmp_path / "places.mmdb").write_bytes(write_mmdb({"127.0.0.0/8": PLACES["127.9.2.0/24"]}))
        await asyncio.sleep(7)
        later = [f"/e/t.example/later/{number}" for number in range(12)]
        for path in later:
            await go(fleet, TEXAN, path)
        hits = await hits_by_path(fleet, later)

    places = {path.removeprefix("/e/t.example/"): place_of(hit) for path, hit in hits.items()}
    assert {places[f"texan/{number}"] for number in range(12)} == {("US", "TX", 64_500)}
    assert {place_of(hits[path]) for path in later} == {("FR", None, 64_500)}
    assert places["parisian"] == ("FR", None, None)
    assert places["unknown"] == (None, None, 64_501)
    assert places["quiet"] == (None, None, None)
    assert find_addresses(running.data, [TEXAN, PARISIAN, UNKNOWN]) == []


async def test_every_tag_is_readable_from_the_hit_byte_for_byte(tmp_path: Path) -> None:
    """As it was sent, up to the longest target, for prefixes and for links."""
    data = tmp_path / "fleet"
    prefix, link = "/e/t.example/a.mp3?", "/promo?"
    sent = {f"{way}{UTM}": "a b c" for way in (prefix, link)}
    sent |= {
        f"{way}{UTM}&ref=last&utm_long=".ljust(TARGET_CHARS_MAX, "z"): "last"
        for way in (prefix, link)
    }
    with platform(data, "--regions", "dfw") as running:
        fleet = running.wait_ready()
        command(data, "links", "create", "/promo", "https://example.com/p")
        for _ in range(50):
            if await go(fleet, UNKNOWN, "/promo") == 302:
                break
            await asyncio.sleep(0.1)
        for raw in sent:
            assert await go(fleet, UNKNOWN, raw, Referer="https://r.example/") == 302
        refused = await go(fleet, UNKNOWN, link.ljust(TARGET_CHARS_MAX + 1, "z"))
        hits = await hits_by_path(fleet, sent)

    assert refused == 414
    for raw, source in sent.items():
        hit = hits[raw]
        assert (hit["source"], hit["source_kind"]) == (source, "explicit")
        assert hit["referer"] == "https://r.example/"
        assert len(raw) <= TARGET_CHARS_MAX
