"""What all commands share: help, errors, exit statuses, and where the services are."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from milepost import __version__
from milepost.cli import cli
from milepost.cli.group import Surroundings
from milepost.cli.places import Central, find
from milepost.cli.serve import PACKAGES, command_of
from milepost.errors import ConfigError
from tests.cli.conftest import HIT, Answers, Run


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, click.Command]]:
    """Return every command with the words that name it."""
    for name, command in group.commands.items():
        yield " ".join((*above, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


@pytest.mark.parametrize(("name", "command"), list(commands(cli)))
def test_every_command_helps_itself(name: str, command: click.Command) -> None:
    """What it does, what each option means, and one example to copy."""
    out = CliRunner().invoke(cli, [*name.split(), "--help"]).output

    assert command.help
    assert "\nExample:\n" in out.replace("  Example:", "Example:")
    assert f"milepost {name.split(maxsplit=1)[0]}" in out.partition("Example:")[2]
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


def test_the_commands_of_this_version() -> None:
    """Each is built on a working service; a name without one behind it does not stand here."""
    assert {name for name, _ in commands(cli)} == {
        *("dev", "serve", "hits", "stats", "export", "downloads", "reconcile", "config"),
        "completion",
        *("sources", "sources ls", "sources abandon"),
        *("links", "links create", "links ls", "links get", "links update", "links rm"),
        "links log",
        "links explain",
        *("links import", "links export", "links status"),
        *("keys", "keys init", "keys list", "keys destroy", "keys receipts"),
        *("keys", "keys init", "keys list", "keys rotate", "keys export-public", "keys audit"),
        *("grants", "grants create", "grants ls", "grants get", "grants extend", "grants end"),
        "grants abandon",
        *("keys backup", "keys recover", "keys rewrap"),
        *("log", "log ls", "log cat", "log tail", "log verify"),
        *("set-aside", "set-aside ls", "set-aside retry"),
        *("tokens", "tokens create", "tokens list", "tokens revoke"),
        *("erase", "erase visitor", "erase link", "erase host", "erase ls"),
        *("retention", "reclassify"),
    }


def test_the_version() -> None:
    """Bug reports begin with it."""
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output


def test_no_fleet_says_how_to_get_one(tmp_path: Path) -> None:
    """The first thing a new person sees must not be a traceback."""
    result = CliRunner().invoke(cli, ["--fleet", str(tmp_path / "none.json"), "hits"])

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "start one with `milepost dev`, or name it with --fleet" in result.stderr


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "MILEPOST_TOKEN"), (403, "use a token"), (503, "is it running"), (400, "said so")],
)
async def test_a_refusal_is_a_sentence(run: Run, answers: Answers, status: int, hint: str) -> None:
    """What the service said, and what to do about it; exit status 2."""
    answers.told["GET /v1/hits"] = status
    result = await run("hits")

    assert result.exit_code == 2
    assert hint in result.stderr
    assert result.stderr.startswith("milepost: said so")
    assert result.stderr.count("\n") == 1


async def test_a_service_that_is_not_there(run: Run) -> None:
    """Nobody listens: that too is a sentence."""
    result = await run("hits", MILEPOST_AGGREGATOR_URL="http://127.0.0.1:9", MILEPOST_TOKEN="t")

    assert result.exit_code == 2
    assert "http://127.0.0.1:9" in result.stderr


async def test_a_place_in_the_environment_wins(run: Run, answers: Answers, url: str) -> None:
    """And is shown its own token, not the fleet's."""
    answers.told["GET /v1/hits"] = {"hits": [], "next": None}
    await run("hits", MILEPOST_AGGREGATOR_URL=url, MILEPOST_TOKEN="elsewhere")
    await run("hits", MILEPOST_TOKEN="elsewhere")

    assert [token for _method, _path, token, _body in answers.asked] == ["elsewhere", "read-token"]


async def test_the_fleet_is_named_before_or_after_the_command(
    run: Run, answers: Answers, fleet_file: Path, tmp_path: Path
) -> None:
    """Nobody should have to remember which."""
    answers.told["GET /v1/links"] = {"links": [], "next": None}
    elsewhere = str(tmp_path / "none.json")
    after = await run("--fleet", elsewhere, "links", "ls", "--fleet", str(fleet_file))
    wrong = await run("links", "ls", "--fleet", elsewhere)

    assert (after.exit_code, wrong.exit_code) == (0, 2)


def test_a_place_without_a_token_is_a_fault(fleet_file: Path) -> None:
    """A local token is never sent to somewhere else."""
    here = Surroundings({"MILEPOST_KEYS_URL": "http://keys:8081"}, fleet_file)

    with pytest.raises(ConfigError, match="MILEPOST_TOKEN: missing"):
        find(here, Central.KEYS)


def test_a_typing_error_in_a_setting_is_refused(fleet_file: Path) -> None:
    """Else a command would quietly ask another place than the one that was meant."""
    here = Surroundings({"MILEPOST_AGREGATOR_URL": "http://x"}, fleet_file)

    with pytest.raises(ConfigError, match="MILEPOST_AGREGATOR_URL: unknown"):
        find(here, Central.AGGREGATOR)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_serve_becomes_the_service(name: str) -> None:
    """The same Python, the service's own package, whatever lies in the current folder."""
    assert command_of(name) == [sys.executable, "-P", "-m", PACKAGES[name]]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_serve_hands_over_status_and_words(name: str) -> None:
    """With nothing configured a service says what it lacks and ends with 2: so does the command."""
    done = subprocess.run(
        [sys.executable, "-m", "milepost", "serve", name],
        env={each: value for each, value in os.environ.items() if "MILEPOST" not in each},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"milepost {name}: MILEPOST_")


@pytest.mark.slow
async def test_a_reader_that_has_seen_enough(fleet_file: Path, answers: Answers) -> None:
    """`milepost hits | head -1` ends quietly."""
    answers.told["GET /v1/hits"] = {"hits": [HIT] * 5_000, "next": None}
    command = f"{sys.executable} -m milepost --fleet {fleet_file} hits --json | head -1"
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await process.communicate()

    assert out.count(b"\n") == 1
    assert complaints == b""
