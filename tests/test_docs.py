"""The documentation, held against the program."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from prometheus_client import REGISTRY, Metric

from milepost import vocabulary
from milepost.cli import cli
from milepost.settings import PREFIX, SETTINGS, Setting, known_names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = ["milepost", "regional_logger", "aggregator", "key_server", "link_registry"]
PAGES = sorted(path.relative_to(ROOT) for path in DOCS.rglob("*.md"))
DECISIONS = sorted((DOCS / "decisions").iterdir())

NAME = re.compile(rf"\b{PREFIX}[A-Z0-9_]+\b")
SUFFIXES = {"counter": "_total", "info": "_info"}


def rows(page: Path) -> dict[str, list[str]]:
    """Return the table rows in *page*: first cell, without its ticks -> the other cells."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


OPERATIONS = rows(DOCS / "operations.md")


def default_of(setting: Setting) -> str:
    """Return how the default of *setting* is written in the table."""
    if setting.default is None:
        return "required"
    return f"`{setting.default}`" if setting.default else "empty"


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_documented(name: str) -> None:
    """With its default and its readers, in the table of docs/operations.md."""
    default, readers, meaning = OPERATIONS[PREFIX + name][:3]

    assert default == default_of(SETTINGS[name])
    assert readers.split(", ") == list(SETTINGS[name].readers)
    assert meaning


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", *map(str, PAGES)])
def test_no_document_names_a_setting_that_is_none(page: str) -> None:
    """Who copies it from there would be refused at start."""
    named = {name.removesuffix("_") for name in NAME.findall((ROOT / page).read_text())}

    assert sorted(named - known_names()) == []


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Give every command below *command*, with the words that are typed."""
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from commands(inner, f"{path} {name}")
    else:
        yield path, command


@pytest.mark.parametrize("path", [path for path, _ in commands(cli, "milepost")])
def test_every_command_is_documented(path: str) -> None:
    """In the table of docs/operations.md, under the words that are typed."""
    assert path in OPERATIONS


@pytest.mark.parametrize(("path", "command"), list(commands(cli, "milepost")))
def test_every_command_and_option_has_help(path: str, command: click.Command) -> None:
    """`--help` is the first documentation that anybody reads."""
    silent = [
        option.opts
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]

    assert command.help, path
    assert silent == [], path


def test_no_command_is_documented_that_is_none() -> None:
    """The table holds what can be typed, and nothing else."""
    documented = {name for name in OPERATIONS if name.startswith("milepost ")}

    assert documented == {path for path, _ in commands(cli, "milepost")}


def metrics() -> list[Metric]:
    """Return every metric of every package."""
    for package in PACKAGES:
        importlib.import_module(f"{package}.metrics")
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("milepost_")]


def test_every_metric_is_documented() -> None:
    """In the table of docs/operations.md, under the name that Prometheus shows, and no other."""
    shown = {metric.name + SUFFIXES.get(metric.type, ""): metric.type for metric in metrics()}
    named = re.compile(r"milepost_[a-z_]+")
    documented = {name: cells[0] for name, cells in OPERATIONS.items() if named.fullmatch(name)}

    assert documented == shown


@pytest.mark.parametrize("page", ["README.md", *map(str, PAGES)])
def test_no_document_names_a_metric_that_is_none(page: str) -> None:
    """An alarm on a name that does not exist never rings."""
    known = {metric.name + SUFFIXES.get(metric.type, "") for metric in metrics()}
    text = re.sub(r"milepost_[0-9a-f]{8,}", "", (ROOT / page).read_text())
    named = re.findall(r"`(milepost_[a-z_]+)", text)

    assert [name for name in named if name not in known] == []


def test_the_glossary_has_the_words_of_the_vocabulary() -> None:
    """Both ways: no type without an entry, and no entry without a type."""
    text = (DOCS / "glossary.md").read_text()
    types = [name for name, value in vars(vocabulary).items() if hasattr(value, "__supertype__")]

    assert sorted(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == sorted(types)


def test_decisions_are_numbered_without_gaps() -> None:
    """So that one can be named for ever."""
    numbers = [path.name[:5] for path in DECISIONS]

    assert numbers == [f"{number:04}-" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_three_parts(path: Path) -> None:
    """Why, what, and what it costs."""
    text = path.read_text()

    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_changelog_has_a_place_for_the_next_line() -> None:
    """What an operator can notice gets a line with the change that brings it."""
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()
