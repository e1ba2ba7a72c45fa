"""Rules on the command line, and asking what they do."""

from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import LINK, Answers, Run

RULES = [{"when": {"country": ["DE"]}, "destination": "https://example.com/de"}]
TOLD = {
    "link": "01jd",
    "status": 302,
    "why": "rules[0] decides",
    "rule": 0,
    "variant": "a",
    "variants": [{"name": "a", "share": 0.5, "destination": "https://example.com/a"}],
    "destination": "https://example.com/a",
    "device": None,
    "language": None,
    "rules": [{"rule": 0, "matched": True, "why": "country: holds"}],
}


@pytest.mark.parametrize("in_a_file", [True, False])
async def test_rules_come_from_a_file_or_as_they_are(
    run: Run,
    answers: Answers,
    tmp_path: Path,
    in_a_file: bool,  # noqa: FBT001
) -> None:
    """For a new link and for one that is there."""
    answers.told |= {"POST /v1/links": {"link": LINK}, "PATCH /v1/links/01jd": {"link": LINK}}
    text, path = orjson.dumps(RULES).decode(), tmp_path / "rules.json"
    path.write_text(text)
    given = str(path) if in_a_file else text
    await run("links", "create", "/sale", "https://example.com/", "--rules", given)
    await run("links", "update", "01jd", "--rules", given)

    assert orjson.loads(answers.asked[0][3])["rules"] == RULES
    assert orjson.loads(answers.asked[1][3]) == {"rules": RULES}


async def test_no_rules_can_be_asked_for(run: Run, answers: Answers) -> None:
    """An empty list is a change."""
    answers.told["PATCH /v1/links/01jd"] = {"link": LINK}
    await run("links", "update", "01jd", "--rules", "[]")

    assert orjson.loads(answers.asked[0][3]) == {"rules": []}


@pytest.mark.parametrize("given", ["[1,", "/no/such/file"])
async def test_rules_that_cannot_be_read_are_refused(
    run: Run, answers: Answers, given: str
) -> None:
    """Before anybody is asked."""
    result = await run("links", "update", "01jd", "--rules", given)

    assert result.exit_code == 2
    assert "want a list of rules as JSON, or a file with one" in " ".join(result.output.split())
    assert answers.asked == []


async def test_a_visit_is_explained(run: Run, answers: Answers) -> None:
    """Rule by rule, then where it leads."""
    answers.told["GET /v1/links/01jd/explain"] = {"explanation": TOLD}
    options = ("--country", "DE", "--user-agent", "curl")
    result = await run("links", "explain", "01jd", *options)
    as_json = await run("links", "explain", "01jd", "--json")

    assert answers.asked[0][1] == "/v1/links/01jd/explain?country=DE&user_agent=curl"
    assert [" ".join(line.split()) for line in result.output.splitlines()] == [
        "RULE HOLDS WHY",
        "0 yes country: holds",
        "VARIANT SHARE DESTINATION",
        "a 0.5 https://example.com/a",
        "302: rules[0] decides, variant a",
        "leads to https://example.com/a",
    ]
    assert orjson.loads(as_json.output) == TOLD


async def test_a_link_is_found_by_its_address(run: Run, answers: Answers) -> None:
    """The registry finds it; with the path and the query of the visit it is explained."""
    answers.told |= {
        "GET /v1/links/at": {"link": LINK},
        "GET /v1/links/01jd/explain": {"explanation": TOLD},
    }
    await run("links", "explain", "http://ada@127.0.0.1:8080/sale?a=b")
    await run("links", "explain", "/sale")

    assert answers.asked[0][1] == "/v1/links/at?host=127.0.0.1:8080&path=/sale"
    assert answers.asked[1][1] == "/v1/links/01jd/explain?path=/sale&query=a%3Db"
    assert answers.asked[2][1] == "/v1/links/at?host=&path=/sale"
    assert len(answers.asked) == 4


async def test_an_address_that_no_link_answers_is_told(run: Run) -> None:
    """In two words, and as a failure."""
    missing = await run("links", "explain", "no-such")
    result = await run("links", "explain", "go.example/none")

    assert result.exit_code == missing.exit_code != 0
    assert "no link answers a visit to go.example/none" in result.stderr
