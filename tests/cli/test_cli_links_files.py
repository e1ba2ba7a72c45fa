"""`milepost links import` and `export`, against a registry that runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from milepost.cli import cli
from milepost.cli.links_import import format_of
from tests.cli.conftest import Answers, Run
from tests.link_registry.registry_world import EDITOR, Registry, running_registry

HEADER = "host,path,destination\n"
Command = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """Run a registry over an empty folder."""
    async with running_registry(tmp_path) as running:
        yield running


@pytest.fixture
def links(registry: Registry) -> Command:
    """Return a runner of `milepost links` against that registry."""
    env = {"MILEPOST_LINKS_URL": registry.url, "MILEPOST_TOKEN": EDITOR}

    async def invoke(*words: str, given: bytes | None = None) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, cli, ["links", *words], env=env, input=given
        )

    return invoke


async def test_what_is_exported_is_imported(
    links: Command, registry: Registry, tmp_path: Path
) -> None:
    """In both formats, and a second import changes nothing."""
    for n in range(3):
        await registry.create(f"/{n}", host="go.example.org", enabled=bool(n), expires_ms=10**13)
    for form in ("csv", "json"):
        file = str(tmp_path / f"links.{form}")
        exported = await links("export", "--format", form, "-o", file)
        again = await links("import", file)

        assert exported.output == f"3 links are in {file}\n"
        assert again.output == "created 0, updated 0, unchanged 3, skipped 0\n"
        assert again.exit_code == 0
    for made in [link.id async for _, part in registry.store.parts(9) for link in part]:
        await registry.call("DELETE", f"/v1/links/{made}")
    fresh = await links("import", str(tmp_path / "links.csv"))

    assert fresh.output.startswith("created 3,")
    assert await registry.store.count() == 3


async def test_a_bad_row_is_reported_and_skipped(links: Command, registry: Registry) -> None:
    """With its line and why, whoever found it; the others are there, and the status is 1."""
    rows = (
        "*,/a,https://x.example/\n"
        "*,no-slash,https://x.example/\n"
        "*,/b,https://x.example/,more\n"
        "*,/c,javascript:alert(1)\n"
        "*,/d,https://x.example/\n"
    )
    result = await links("import", "-", given=(HEADER + rows).encode())

    assert result.exit_code == 1
    assert result.stdout == "created 2, updated 0, unchanged 0, skipped 3\n"
    assert sorted(line.partition(": ")[0] for line in result.stderr.splitlines()) == [
        *("line 3", "line 4", "line 5"),
    ]
    assert "line 3: path: want /letters" in result.stderr
    assert await registry.store.count() == 2


async def test_a_dry_run_imports_nothing(links: Command, registry: Registry) -> None:
    """It says what would happen, bad rows included."""
    given = (HEADER + "*,/a,https://x.example/\n*,/,https://x.example/\n").encode()
    result = await links("import", "-", "--dry-run", given=given)

    assert result.stdout == "would have created 1, updated 0, unchanged 0, skipped 1\n"
    assert result.exit_code == 1
    assert await registry.store.count() == 0


async def test_rows_without_a_host_take_the_one_that_is_given(
    links: Command, registry: Registry
) -> None:
    """Those that name one keep it."""
    given = b'{"path": "/a", "destination": "https://x.example/"}\n'
    given += b'{"path": "/b", "host": "b.example", "destination": "https://x.example/"}\n'
    await links("import", "-", "--format", "json", "--host", "a.example", given=given)
    found = [link.host async for _, part in registry.store.parts(9) for link in part]

    assert sorted(found) == ["a.example", "b.example"]


async def test_only_what_a_row_says_is_changed(links: Command, registry: Registry) -> None:
    """An empty cell leaves a field as it is."""
    made = await registry.create("/a", status=307, pass_query=True)
    given = b"path,destination,status\n/a,https://new.example/,\n"
    result = await links("import", "-", given=given)
    entry = await registry.store.get(made["id"])

    assert result.stdout.startswith("created 0, updated 1,")
    assert (entry.link.destination, entry.link.status) == ("https://new.example/", 307)
    assert entry.link.pass_query


async def test_bytes_that_are_no_text_are_one_bad_row(links: Command, registry: Registry) -> None:
    """Whatever editor made them."""
    given = b"\xef\xbb\xbfpath,destination\n/\xff,https://x.example/\n/b,https://x.example/\n"
    result = await links("import", "-", given=given)

    assert result.stdout == "created 1, updated 0, unchanged 0, skipped 1\n"
    assert await registry.store.count() == 1


async def test_many_rows_are_several_calls(links: Command, registry: Registry) -> None:
    """Of a size that a registry takes at once."""
    rows = "".join(f"*,/{n},https://x.example/{n}\n" for n in range(2_500))
    result = await links("import", "-", given=(HEADER + rows).encode())
    calls = await registry.store._readers.rows("SELECT count(*) FROM call")

    assert result.stdout.startswith("created 2500,")
    assert calls == [(2,)]


async def test_an_export_of_nothing_has_its_header(links: Command) -> None:
    """So that one sees what to fill in."""
    result = await links("export")

    assert result.output == "host,path,destination,status,enabled,pass_query,expires_ms\n"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_export_that_fails_leaves_what_was_there(
    run: Run, answers: Answers, tmp_path: Path
) -> None:
    """Half of the links would look like all of them."""
    file = tmp_path / "links.csv"
    file.write_text("as it was")
    answers.told["GET /v1/links"] = 503
    result = await run("links", "export", "-o", str(file))

    assert result.exit_code == 2
    assert _names(tmp_path) == ["fleet.json", "links.csv"]
    assert file.read_text() == "as it was"


async def test_a_file_that_is_not_there_is_one_sentence(links: Command) -> None:
    """And exit status 2."""
    result = await links("import", "/nowhere.csv")

    assert result.exit_code == 2
    assert "No such file" in result.stderr


@pytest.mark.parametrize(
    ("file", "asked", "form"),
    [
        ("a.csv", None, "csv"),
        ("a.json", None, "json"),
        ("a.jsonl", None, "json"),
        ("-", None, "csv"),
        ("a.csv", "json", "json"),
    ],
)
def test_the_format_is_asked_or_guessed(file: str, asked: str | None, form: str) -> None:
    """By the end of the name."""
    assert format_of(file, asked) == form


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_all_that_a_link_has_comes_back(
    registry: Registry, links: Command, tmp_path: Path, form: str
) -> None:
    """Rules, tags, note and click limit too: nothing is changed, and a lost link is made again."""
    split = [
        {"name": "a", "weight": 1, "destination": "https://a.example/x,y"},
        {"name": "b", "weight": 3, "destination": "https://b.example/"},
    ]
    rules = [
        {"when": {"language": ["pt-BR"]}, "destination": "https://pt.example/"},
        {"variants": split},
    ]
    made = await registry.create(
        "/a", rules=rules, tags=["x", "y z"], note='=1\n"quoted", it is', click_limit=7
    )
    file = tmp_path / f"links.{form}"
    await links("export", "--format", form, "-o", str(file))
    same = await links("import", str(file))
    await registry.call("DELETE", f"/v1/links/{made['id']}")
    again = await links("import", str(file))
    [link] = (await (await registry.call("GET", "/v1/links")).json())["links"]

    assert "unchanged 1" in same.output
    assert "created 1" in again.output
    assert link == made | {"id": link["id"]}
