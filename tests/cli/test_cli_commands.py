"""The commands that ask a service."""

from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from milepost.cli import cli
from milepost.cli.output import moment
from milepost.cli.sources import news, replica_lines, worst_first
from tests.cli.conftest import HIT, LINK, Answers, Run

WELL: dict[str, Any] = {
    "url": "http://e:1",
    "region": "dfw",
    "last_success": "…",
    "lag_records": 3,
    "lag_seconds": 0.5,
}


def test_what_cannot_be_read_of_lost_machines_is_said() -> None:
    """With its name and why; without an object store there is nothing to say."""
    failed = [{"replica": "dfw/m1/00", "reason": "it holds no file", "failures": 2}]
    told = {"replicas": {"last_error": "it is away", "failed": failed}}

    assert replica_lines(told) == [
        "the object store is not swept: it is away",
        "replica dfw/m1/00: it holds no file",
    ]
    assert replica_lines({}) == []


async def test_hits_asks_for_the_newest(run: Run, answers: Answers) -> None:
    """With the token that can only read."""
    answers.told["GET /v1/hits"] = {"hits": [HIT], "next": "more"}
    result = await run("hits", "--limit", "5", "--region", "dfw", "--kind", "link")

    assert result.exit_code == 0
    assert answers.asked[0][:3] == (
        "GET",
        "/v1/hits?limit=5&direction=desc&order=time&region=dfw&kind=link",
        "read-token",
    )
    assert result.output.splitlines()[1].split() == [
        *("2026-01-31T12:00:00.000Z", "dfw", "link", "go.example", "/sale?x=1", "302"),
        *("https://example.com/spring", "01234567"),
    ]


async def test_hits_for_programs(run: Run, answers: Answers) -> None:
    """Every field, as it came."""
    answers.told["GET /v1/hits"] = {"hits": [HIT], "next": None}
    result = await run("hits", "--json")

    assert orjson.loads(result.output) == HIT


async def test_a_new_link_is_shown_as_visitors_see_it(run: Run, answers: Answers) -> None:
    """Something to click on, in the first region."""
    answers.told["POST /v1/links"] = {"link": LINK}
    result = await run("links", "create", "/sale", "https://example.com/spring", "--status", "307")

    body = orjson.loads(answers.asked[0][3])
    assert body == {"path": "/sale", "destination": "https://example.com/spring", "status": 307}
    assert answers.asked[0][2] == "operator-token"
    assert result.output.startswith("http://127.0.0.1:8080/sale leads to https://example.com")


async def test_a_link_on_one_host_is_shown_there(run: Run, answers: Answers) -> None:
    """On another host it would not be found."""
    answers.told["POST /v1/links"] = {"link": {**LINK, "host": "go.example"}}
    result = await run("links", "create", "/sale", "https://x.example", "--host", "go.example")

    assert result.output.startswith("go.example/sale leads to")


async def test_all_links_are_listed(run: Run, answers: Answers) -> None:
    """Page by page, until there is no next."""
    pages = [{"links": [LINK], "next": "c1"}, {"links": [{**LINK, "id": "02"}], "next": None}]
    answers.told["GET /v1/links"] = pages
    result = await run("links", "ls", "--json")

    assert [orjson.loads(line)["id"] for line in result.output.splitlines()] == ["01jd", "02"]
    assert answers.asked[1][1] == "/v1/links?limit=500&cursor=c1"


async def test_one_link(run: Run, answers: Answers) -> None:
    """As a table of one row."""
    answers.told["GET /v1/links/01jd"] = {"link": LINK}
    result = await run("links", "get", "01jd")

    assert result.output.splitlines()[1].split() == [
        *("01jd", "*", "/sale", "302", "yes", "no", "-", "-", "https://example.com/spring")
    ]


async def test_a_link_that_ends_is_made_and_shown(run: Run, answers: Answers) -> None:
    """People read and write a time; the registry has milliseconds."""
    ending = LINK | {"path": "/docs/*", "pass_query": True, "expires_ms": 1_924_991_999_000}
    answers.told |= {"POST /v1/links": {"link": ending}, "GET /v1/links/01jd": {"link": ending}}
    options = ("--pass-query", "--expires", "2030-12-31T23:59:59")
    await run("links", "create", "/docs/*", "https://example.com/*", *options)
    result = await run("links", "get", "01jd")

    assert orjson.loads(answers.asked[0][3]) == {
        "path": "/docs/*",
        "destination": "https://example.com/*",
        "pass_query": True,
        "expires_ms": 1_924_991_999_000,
    }
    assert "2030-12-31T23:59:59Z" in result.output


@pytest.mark.parametrize(
    ("written", "sent"),
    [("never", None), ("1970-01-01T01:00:00.001+01:00", 1), ("2030-12-31", 1_924_905_600_000)],
)
async def test_an_end_can_be_changed_and_taken_away(
    run: Run, answers: Answers, written: str, sent: int | None
) -> None:
    """Without an offset a time is UTC."""
    answers.told["PATCH /v1/links/01jd"] = {"link": LINK}
    await run("links", "update", "01jd", "--expires", written)

    assert orjson.loads(answers.asked[0][3]) == {"expires_ms": sent}


async def test_a_time_that_is_none_is_refused(run: Run, answers: Answers) -> None:
    """With one that would be good."""
    result = await run("links", "update", "01jd", "--expires", "soon")

    assert result.exit_code == 2
    assert "2030-12-31T23:59:59Z" in result.stderr
    assert not answers.asked


async def test_an_update_names_only_what_changes(run: Run, answers: Answers) -> None:
    """What another person changed meanwhile stays."""
    answers.told["PATCH /v1/links/01jd"] = {"link": {**LINK, "enabled": False}}
    result = await run("links", "update", "01jd", "--disabled")

    assert orjson.loads(answers.asked[0][3]) == {"enabled": False}
    assert " no " in result.output


async def test_an_update_of_nothing_is_refused(run: Run, answers: Answers) -> None:
    """Something was forgotten."""
    result = await run("links", "update", "01jd")

    assert result.exit_code == 2
    assert "at least one option" in result.stderr
    assert not answers.asked


async def test_a_link_is_removed(run: Run, answers: Answers) -> None:
    """An id cannot reach another path of the registry."""
    answers.told["DELETE /v1/links/01jd"] = {}
    result = await run("links", "rm", "01jd")
    await run("links", "rm", "../states")

    assert (result.exit_code, result.output) == (0, "removed 01jd\n")
    assert answers.asked[1][1] == "/v1/links/..%2Fstates"


async def test_epochs_are_listed(run: Run, answers: Answers) -> None:
    """With times that people can read, and the identity that edges are configured with."""
    span = {"start_ms": 0, "end_ms": 86_400_000}
    gone = {"salt_gone_ms": None, "record_gone_ms": None}
    epoch = {"epoch": 7, "state": "active", "key": "ab", **span, **gone}
    answers.told["GET /v1/states"] = {"identity": "cd" * 32, "version": 1, "epochs": [epoch]}
    result = await run("keys", "list")

    lines = result.output.splitlines()
    assert lines[0] == "identity " + "cd" * 32
    assert lines[2].split() == [
        *("7", "active", "1970-01-01", "00:00:00Z", "1970-01-02", "00:00:00Z"),
        *("salt,", "records", "-", "ab"),
    ]


def test_a_moment_is_utc() -> None:
    """Epochs begin at the same moment for everybody."""
    assert moment(1_769_860_800_000) == "2026-01-31 12:00:00Z"


async def test_sources_that_are_well(run: Run, answers: Answers) -> None:
    """Exit status 0: a monitor may sleep."""
    answers.told["GET /v1/sources"] = {"sources": [WELL]}
    result = await run("sources")

    assert result.exit_code == 0
    assert result.output.splitlines()[1].split() == ["dfw", "http://e:1", "3", "0.5", "…", "-"]


async def test_a_source_that_fails_is_bad_news(run: Run, answers: Answers) -> None:
    """At the top, with its reason, and exit status 1: the command worked, the fleet does not."""
    failing = {**WELL, "region": "cdg", "last_error": "TimeoutError"}
    sealed = {"waiting": {"batches": 2, "records": 9}, "set_aside": {"batches": 0, "records": 0}}
    answers.told["GET /v1/sources"] = {"sources": [WELL, failing], **sealed}
    result = await run("sources")

    assert result.exit_code == 1
    assert result.output.splitlines()[1].split()[::5] == ["cdg", "TimeoutError"]
    assert result.output.splitlines()[-1] == "2 batches (9 records) wait sealed for their key"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"last_error": "no"}, "no"),
        ({"last_success": None}, "has not answered yet"),
        ({"lag_records": 10_001}, "far behind"),
        ({"unreadable": ["ab"]}, "cannot read ab"),
        ({"state": "gone", "last_error": "TimeoutError"}, "gone; TimeoutError"),
        ({"state": "gone", "swept": True, "last_error": "TimeoutError"}, ""),
        ({"state": "abandoned", "lag_records": 10_001}, ""),
        ({"streams": [{"stream": "ab", "fault": "fork"}, {"stream": "cd"}]}, "stream ab: fork"),
    ],
)
def test_what_is_news(change: dict[str, Any], expected: str) -> None:
    """Whatever needs a person's look, in words."""
    assert news({**WELL, **change}) == expected


def test_the_worst_source_comes_first() -> None:
    """What fails before what lags, and what lags most before the rest."""
    far, near = {**WELL, "lag_records": 9}, {**WELL, "lag_records": 1}
    bad = {**WELL, "last_error": "no", "lag_records": 0}

    assert worst_first([near, far, bad]) == [bad, far, near]


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no service asked, which takes a process."""
    monkeypatch.setattr("milepost.cli.config.faults", lambda _env, _service: "")


@pytest.mark.usefixtures("unasked")
def test_config_masks_secrets() -> None:
    """What is in force and where it comes from; never a secret."""
    env = {"MILEPOST_TOKEN": "very-secret", "MILEPOST_ACCEPT": "fast"}
    result = CliRunner().invoke(cli, ["config", "edge", "--json"], env=env)
    rows = {row["name"]: row for row in map(orjson.loads, result.output.splitlines())}

    assert "very-secret" not in result.output
    assert rows["MILEPOST_ACCEPT"]["value"] == "fast"
    assert rows["MILEPOST_ACCEPT"]["source"] == "environment"
    assert rows["MILEPOST_STREAM_MB"]["source"] == "default"
    assert "MILEPOST_SOURCES" not in rows
    assert result.exit_code == 0


@pytest.mark.usefixtures("unasked")
def test_config_shows_what_the_platform_tells() -> None:
    """On Fly.io region and machine are in force although nobody set them; what is set wins."""
    env = {"FLY_REGION": "cdg", "FLY_MACHINE_ID": "m1", "MILEPOST_MACHINE": "mine"}
    result = CliRunner().invoke(cli, ["config", "edge", "--json"], env=env)
    rows = {row["name"]: row for row in map(orjson.loads, result.output.splitlines())}

    shown = [(rows[f"MILEPOST_{name}"]) for name in ("REGION", "MACHINE")]
    assert [(row["value"], row["source"]) for row in shown] == [
        ("cdg", "FLY_REGION"),
        ("mine", "environment"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "env", "expected"),
    [
        ("edge", {"MILEPOST_STREAM_MB": "0"}, ["STREAM_MB: want 1..4096", "TOKENS_FILE: missing"]),
        ("edge", {"FLY_REGION": "D/W"}, ["REGION: want small letters"]),
        ("aggregator", {"MILEPOST_SOURCES": ","}, ["SOURCES: want http", "TOKEN: missing"]),
        ("keys", {"MILEPOST_EPOCH": "1s", "MILEPOST_X": "1"}, ["EPOCH: ", "X: unknown"]),
        ("links", {"MILEPOST_REPLICA_URL": "/r"}, ["LITESTREAM_SOCKET: missing", "REPLICA_URL: "]),
    ],
)
def test_config_names_every_fault(service: str, env: dict[str, str], expected: list[str]) -> None:
    """What the service would say at its start, below the table; exit status 2."""
    result = CliRunner().invoke(cli, ["config", service], env=env)

    assert result.exit_code == 2
    assert result.stdout.startswith("SETTING")
    assert result.stderr.startswith(f"milepost {service}: ")
    assert result.stderr.count("\n") == 1
    assert [text for text in expected if f"MILEPOST_{text}" not in result.stderr] == []


@pytest.mark.slow
def test_config_has_nothing_to_say_of_what_is_well() -> None:
    """Exit status 0: the service would start."""
    env = {"MILEPOST_TOKENS_FILE": "/tokens.json"}
    result = CliRunner().invoke(cli, ["config", "links"], env=env)

    assert (result.exit_code, result.stderr) == (0, "")


def test_config_of_everybody_names_what_nobody_knows() -> None:
    """A typing error is one for every service."""
    result = CliRunner().invoke(cli, ["config"], env={"MILEPOST_REGOIN": "dfw"})

    assert result.exit_code == 2
    assert "MILEPOST_REGION" in result.stdout
    assert result.stderr == "milepost: MILEPOST_REGOIN: unknown to every service\n"


def test_config_of_everybody() -> None:
    """Each setting once; that one service lacks something is no news then."""
    result = CliRunner().invoke(cli, ["config"])
    names = [line.split()[0] for line in result.output.splitlines()[1:]]

    assert result.exit_code == 0
    assert len(names) == len(set(names))
    assert {"MILEPOST_SOURCES", "MILEPOST_EPOCH", "MILEPOST_FLEET"} <= set(names)


@pytest.mark.parametrize("workers", ["0", "65", "many"])
def test_dev_refuses_a_number_of_workers_that_no_edge_would_take(workers: str) -> None:
    """Said before anything starts, and with the limits."""
    result = CliRunner().invoke(cli, ["dev", "--workers", workers])

    assert result.exit_code == 2
    assert "--workers" in result.stderr
