"""`milepost downloads`: what is asked, and what is shown."""

from tests.cli.conftest import Answers, Run

ANSWER = {
    "rule": "op3-2026-08",
    "start": "2026-01-01T00:00:00.000Z",
    "end": "2026-02-01T00:00:00.000Z",
    "bots": "exclude",
    "group_by": "link",
    "downloads": 7,
    "first_two": 1,
    "groups": 2,
    "rows": [{"link": "spring\u001b[1m", "downloads": 5}, {"downloads": 2}],
}


async def test_downloads_are_shown(run: Run, answers: Answers) -> None:
    """With the rule that they are counted by, and nothing that a terminal obeys."""
    answers.told["GET /v1/downloads"] = ANSWER
    result = await run("downloads", "--group-by", "link", "--start=-30d", "--host", "a.example")

    assert result.exit_code == 0, result.output
    assert answers.asked[0][1:3] == (
        "/v1/downloads?group_by=link&limit=100&start=-30d&host=a.example",
        "read-token",
    )
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[:3] == [["LINK", "DOWNLOADS"], ["spring\\x1b[1m", "5"], ["-", "2"]]
    assert result.output.endswith(
        "7 downloads from 2026-01-01 to before 2026-02-01, by the rule op3-2026-08\n"
    )


async def test_days_are_those_of_utc(run: Run) -> None:
    """No other zone is offered: the aggregator would refuse it."""
    result = await run("downloads", "--tz", "Europe/Paris")

    assert result.exit_code == 2
    assert "No such option" in result.output
