"""The commands that find links, tell their history, and change one version."""

from typing import Any

import orjson
import pytest

from tests.cli.conftest import LINK, Answers, Run

DESTINATION = "https://example.com/spring"


async def test_a_link_without_a_path_is_drawn_one(run: Run, answers: Answers) -> None:
    """One word is a destination, and what is printed first is what visitors click on."""
    answers.told["POST /v1/links"] = {"link": LINK | {"path": "/k7d9w"}}
    result = await run("links", "create", DESTINATION)

    assert orjson.loads(answers.asked[0][3]) == {"destination": DESTINATION}
    assert result.output.split()[0] == "http://127.0.0.1:8080/k7d9w"


async def test_three_words_are_one_too_many(run: Run, answers: Answers) -> None:
    """Something was not quoted."""
    result = await run("links", "create", "/a", DESTINATION, "x")

    assert result.exit_code == 2
    assert "got 3 words" in result.stderr
    assert not answers.asked


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (("--tag", "a", "--tag", "b c"), {"tags": ["a", "b c"]}),
        (("--tag", ""), {"tags": []}),
        (("--note", "for Ada"), {"note": "for Ada"}),
        (("--note", ""), {"note": ""}),
        (("--click-limit", "12"), {"click_limit": 12}),
        (("--click-limit", "none"), {"click_limit": None}),
    ],
)
async def test_what_people_write_on_a_link(
    run: Run, answers: Answers, options: tuple[str, ...], sent: dict[str, Any]
) -> None:
    """Is sent as it is meant, taken away too."""
    answers.told["PATCH /v1/links/01jd"] = {"link": LINK | {"tags": ["a", "b c"]}}
    result = await run("links", "update", "01jd", *options)

    assert orjson.loads(answers.asked[0][3]) == sent
    assert "a, b c" in result.output


async def test_a_limit_that_is_none_is_refused(run: Run, answers: Answers) -> None:
    """With what would be good."""
    result = await run("links", "update", "01jd", "--click-limit", "many")

    assert result.exit_code == 2
    assert "want a number, or none" in result.stderr
    assert not answers.asked


async def test_filters_are_asked_of_the_registry(run: Run, answers: Answers) -> None:
    """It finds them; nothing is sorted out here."""
    answers.told["GET /v1/links"] = {"links": [LINK], "next": None}
    await run(
        *("links", "ls", "--tag", "a", "--tag", "b c", "--host", "*", "-q", "50%", "--pattern"),
        *("--not-expired", "--disabled", "--to", "example.com", "--path-prefix", "/x"),
        *("--sort", "path", "--descending"),
    )
    query = answers.asked[0][1].partition("?")[2]

    assert set(query.split("&")) == {
        *("tag=a", "tag=b+c", "host=*", "q=50%25", "kind=pattern", "expired=false"),
        *("enabled=false", "destination_host=example.com", "path_prefix=/x", "sort=path"),
        *("direction=desc", "limit=500"),
    }


async def test_a_link_tells_what_was_done_to_it(run: Run, answers: Answers) -> None:
    """One line for each field; programs get each change whole."""
    fields = [
        {"field": "status", "before": 302, "after": 301},
        {"field": "tags", "before": [], "after": ["a"]},
    ]
    change = {"version": 2, "action": "update", "at_ms": 0, "who": "ada", "fields": fields}
    answers.told["GET /v1/links/01jd/changes"] = {"changes": [change], "next": None}
    shown = await run("links", "log", "01jd")
    told = await run("links", "log", "01jd", "--json")

    assert [line.split()[2:] for line in shown.output.splitlines()[1:]] == [
        ["2", "update", "ada", "status", "302", "301"],
        ["2", "update", "ada", "tags", "[]", '["a"]'],
    ]
    assert orjson.loads(told.output) == change


@pytest.mark.parametrize(
    ("words", "method"), [(("update", "01jd", "--disabled"), "PATCH"), (("rm", "01jd"), "DELETE")]
)
async def test_a_version_that_is_old_is_told(
    run: Run, answers: Answers, words: tuple[str, ...], method: str
) -> None:
    """The registry refuses, and the command says what it said."""
    answers.told[f"{method} /v1/links/01jd"] = 412
    result = await run("links", *words, "--if-match", "3")

    assert result.exit_code == 2
    assert "said so" in result.stderr
    assert answers.if_match == ['"3"']


async def test_clicks_are_shown_beside_their_limit(run: Run, answers: Answers) -> None:
    """In lists and alone; of a link without one none are counted."""
    limited = LINK | {"click_limit": 10, "clicks": 3}
    answers.told["GET /v1/links"] = {"links": [LINK | {"clicks": 0}, limited], "next": None}
    answers.told["GET /v1/links/01jd"] = {"link": limited}
    listed = await run("links", "ls")
    alone = await run("links", "get", "01jd")

    assert listed.output.count("3 of 10") == alone.output.count("3 of 10") == 1
    assert "CLICKS" in listed.output
    assert " of " not in listed.output.splitlines()[1]
