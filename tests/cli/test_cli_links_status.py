"""`milepost links status`: how far each region is."""

from typing import Any

import orjson
import pytest

from milepost.cli.links_status import BEHIND_MS_MAX, SILENT_MS_MAX, news
from tests.cli.conftest import Answers, Run

GET = "GET /v1/feed/positions"
WELL: dict[str, Any] = {
    "region": "cdg",
    "machine": "m1",
    "place": f"{'a' * 32}:7",
    "behind": 0,
    "behind_ms": 0,
    "silent_ms": 900,
    "heard_ms": 0,
}
BEHIND = WELL | {"region": "dfw", "behind": 1_200, "behind_ms": BEHIND_MS_MAX + 1}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"behind": 3, "behind_ms": BEHIND_MS_MAX}, ""),
        ({"behind": None, "behind_ms": 31_000}, "behind for 31 s"),
        ({"silent_ms": SILENT_MS_MAX + 1_000}, "silent for 61 s"),
    ],
)
def test_what_is_news_of_an_edge(fields: dict[str, Any], expected: str) -> None:
    """Behind for long, or silent; a change that is under way is neither."""
    assert news(WELL | fields) == expected


async def test_the_worst_region_stands_first(run: Run, answers: Answers) -> None:
    """And is the exit status."""
    answers.told[GET] = {"newest": "", "machines": [WELL, BEHIND]}
    result = await run("links", "status")
    lines = result.output.splitlines()

    assert result.exit_code == 1
    assert answers.asked[0][2] == "read-token"
    assert lines[1].split()[:5] == ["dfw", "m1", "7", "1,200", "changes"]
    assert "behind for 30 s" in lines[1]
    assert lines[2].split()[:4] == ["cdg", "m1", "7", "-"]


async def test_all_well_is_status_zero(run: Run, answers: Answers) -> None:
    """With every field for programs; and without an edge there is nothing to say."""
    answers.told[GET] = {"newest": "", "machines": [WELL]}
    told = await run("links", "status", "--json")
    answers.told[GET] = {"newest": "", "machines": []}
    nobody = await run("links", "status")

    assert (told.exit_code, nobody.exit_code) == (0, 0)
    assert orjson.loads(told.output) == WELL
    assert nobody.output == "no edge has reported yet\n"


async def test_an_edge_without_links_needs_a_snapshot(run: Run, answers: Answers) -> None:
    """It is behind by no number."""
    answers.told[GET] = {"machines": [WELL | {"place": None, "behind": None, "behind_ms": 5}]}
    result = await run("links", "status")

    assert result.exit_code == 0
    assert "a snapshot" in result.output
