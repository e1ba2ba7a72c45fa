"""fleet.json: true at every moment."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from milepost.clock import SystemClock
from milepost.dev.child import Child
from milepost.dev.credentials import Credentials
from milepost.dev.plan import Options
from milepost.dev.platform import Platform, fleet_of, fleet_path
from milepost.dev.ready import reason_in
from milepost.dev.show import next_steps, welcome
from milepost.fleet import read_fleet
from tests.dev.conftest import MakeChild, until

CREDENTIALS = Credentials("operator-token", "read-token")


@pytest.fixture
def platform(options: Options, told: list[str]) -> Platform:
    """A platform that has not started anything."""
    options.data.mkdir()
    return Platform(options, CREDENTIALS, pid=1, clock=SystemClock(), tell=told.append)


def at(child: Child, url: object) -> Child:
    """Return *child* as one that answers at *url*."""
    child.process = replace(child.process, ready_url=str(url))
    return child


def test_the_fleet_file_says_what_design_says(options: Options) -> None:
    """Programs read it; its names and places are fixed."""
    fleet = fleet_of(options, CREDENTIALS, {"edge-cdg": 7, "aggregator": 8}, pid=1, ready=True)

    assert (fleet.ready, fleet.pid, fleet.aggregator.pid, fleet.key_server.pid) == (
        True,
        1,
        8,
        None,
    )
    assert fleet.tokens == {"operator": "operator-token", "read": "read-token"}
    assert fleet.aggregator.database == str(options.data / "aggregator" / "combined.db")
    assert [entry.region for entry in fleet.regions] == ["dfw", "cdg"]
    assert fleet.regions[1].pid == 7
    assert fleet.regions[1].url == "http://127.0.0.1:8081"
    assert fleet.regions[1].private_url == "http://127.0.0.1:8191"
    assert fleet.regions[1].log_dir == str(options.data / "edges" / "cdg" / "log")


def test_the_fleet_file_is_for_its_owner_alone(platform: Platform, options: Options) -> None:
    """It holds tokens; and no draft of it stays behind."""
    platform.publish()

    assert fleet_path(options).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in options.data.iterdir()] == ["fleet.json"]


def test_a_disk_that_is_full_passes(platform: Platform, options: Options, told: list[str]) -> None:
    """The platform goes on, and the file is written as soon as it can be."""
    fleet_path(options).mkdir()  # in the way
    platform.publish()
    fleet_path(options).rmdir()
    platform.publish()

    assert "cannot write" in told[0]
    assert not read_fleet(fleet_path(options)).ready


@pytest.mark.parametrize("content", [None, "", "{}"], ids=["deleted", "emptied", "replaced"])
def test_a_fleet_file_that_is_lost_comes_back(
    platform: Platform, options: Options, content: str | None
) -> None:
    """Without it no command finds the platform, which runs on all the same."""
    platform.publish()
    before = read_fleet(fleet_path(options))
    fleet_path(options).unlink()
    if content is not None:
        fleet_path(options).write_text(content)
    platform.publish()

    assert read_fleet(fleet_path(options)) == before


def test_a_fleet_file_that_is_true_is_left_alone(platform: Platform, options: Options) -> None:
    """It is looked at every second, and written when there is something to write."""
    platform.publish()
    before = fleet_path(options).stat().st_ino
    platform.publish()

    assert fleet_path(options).stat().st_ino == before


async def test_ready_while_all_are(
    platform: Platform,
    options: Options,
    make_child: MakeChild,
    aiohttp_server: AiohttpServer,
    told: list[str],
) -> None:
    """True once every service says so, false from the moment one has ended."""
    healthy = False

    async def readyz(_request: web.Request) -> web.Response:
        return web.json_response({"reasons": {"keys": "no list"}}, status=200 if healthy else 503)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    server = await aiohttp_server(app)
    child = at(make_child("exec sleep 60"), server.make_url("/readyz"))
    child._changed = platform.changed
    platform.take([child])
    tasks = [asyncio.create_task(child.keep()), asyncio.create_task(platform.watch())]
    await until(lambda: child.pid)
    assert not read_fleet(fleet_path(options)).ready
    healthy = True
    await until(lambda: read_fleet(fleet_path(options)).ready)
    await child.stop()

    assert not read_fleet(fleet_path(options)).ready
    assert told[0].startswith("ready after ")
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_end_is_not_ready(
    platform: Platform, options: Options, make_child: MakeChild
) -> None:
    """Whoever waits for `ready` must not send clicks to what is draining."""
    platform.take([])
    platform._learn({})
    assert read_fleet(fleet_path(options)).ready
    platform.end()
    platform._learn({})

    assert not read_fleet(fleet_path(options)).ready


def test_a_long_wait_is_explained_once(
    platform: Platform, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten seconds people want to know; they need not be told five times a second."""
    platform._waiting_since -= 11
    platform._learn({"aggregator": "does not answer"})
    platform._learn({"aggregator": "does not answer"})

    assert told == ["waiting for aggregator: does not answer"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"ready": false, "reasons": {"keys": "no list"}}', "no list"),
        (b'{"ready": false, "reasons": {}}', "not ready"),
        (b'{"reasons": 7}', "not ready"),
        (b"<html>", "not ready"),
    ],
)
def test_the_reasons_of_a_service(answer: bytes, expected: str) -> None:
    """Whatever stands on the port, an answer is a sentence."""
    assert reason_in(answer) == expected


def test_people_are_told_where_everything_is(options: Options) -> None:
    """And what to try; but no token is shown on a screen."""
    text = "\n".join([*welcome(options), *next_steps(options)])

    assert "http://127.0.0.1:8081" in text
    assert str(options.data) in text
    assert text.count("curl") == 3
    assert f"$(cat {options.data}/secrets/read)" in text


def test_what_to_try_works_in_any_folder(options: Options, tmp_path: Path) -> None:
    """A line that is copied into a shell finds the token, whatever its folder is called."""
    data = tmp_path / "it's a $HOME"
    (data / "secrets").mkdir(parents=True)
    (data / "secrets" / "read").write_text("read-token\n")
    (line,) = [each for each in next_steps(replace(options, data=data)) if "/v1/hits" in each]

    script = f"curl() {{ printf '<%s>' \"$@\"; }}; {line}"
    out = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("<-H><Authorization: Bearer read-token><http://")


def test_no_replicas_are_not_promised(options: Options) -> None:
    """A folder that nobody fills would be a false comfort."""
    lines = welcome(replace(options, litestream=False))

    assert lines[-1].split() == ["replicas", "none"]


def test_fleet_json_is_where_the_command_looks() -> None:
    """`milepost hits` beside a running `milepost dev` just works."""
    assert fleet_path(Options(data=Path(".milepost"))) == Path(".milepost/fleet.json")
