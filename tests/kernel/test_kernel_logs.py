"""Telemetry lines."""

import subprocess
import sys
from typing import Any

import orjson
import pytest

LINES = """
import logging, sys
import structlog
from milepost.config import Secret
from milepost.logs import get_log, set_up_logging
log = get_log("module")  # as modules do: before logging is set up
set_up_logging("edge", sys.argv[1], region="dfw")
for level in ("debug", "info", "warning", "error", "critical"):
    getattr(log, level)("stream.closed", wait_ms=3, token=Secret("hidden"))
with structlog.contextvars.bound_contextvars(request_id="r1"):
    log.bind(stream="s1").info("batch.sealed", records=2)
try:
    raise ValueError("slip")
except ValueError:
    log.exception("request.crashed")
logging.getLogger("library").warning("it said %s", "this")
logging.getLogger("aiosqlite").info("chatter")
"""


def lines(level: str) -> list[dict[str, Any]]:
    """Return what a process logs at *level*; every line is one JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", LINES, level], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ""
    assert "hidden" not in done.stderr
    return [orjson.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_one_json_object() -> None:
    """The event, its level, when it was, which service and region, and the fields."""
    told = lines("DEBUG")

    levels = [line["level"] for line in told if line["event"] == "stream.closed"]
    assert levels == ["debug", "info", "warning", "error", "critical"]
    assert told[0].pop("timestamp").endswith("Z")
    assert told[0] == {
        "event": "stream.closed",
        "level": "debug",
        "service": "edge",
        "region": "dfw",
        "wait_ms": 3,
        "token": "********",
    }


def test_context_stands_on_every_line_that_it_belongs_to() -> None:
    """Bound fields and the request's id come along by themselves, and go again."""
    told = {line["event"]: line for line in lines("INFO")}

    assert told["batch.sealed"]["request_id"] == "r1"
    assert told["batch.sealed"]["stream"] == "s1"
    assert "request_id" not in told["request.crashed"]


def test_a_traceback_is_inside_its_line() -> None:
    """One event, one line, however long."""
    told = {line["event"]: line for line in lines("INFO")}

    assert "ValueError: slip" in told["request.crashed"]["exception"]


def test_libraries_speak_json_too_and_only_of_trouble() -> None:
    """Whoever reads the log needs one parser."""
    told = {line["event"] for line in lines("INFO")}

    assert "it said this" in told
    assert "chatter" not in told


@pytest.mark.parametrize(
    ("level", "least"), [("INFO", "info"), ("WARNING", "warning"), ("CRITICAL", "critical")]
)
def test_nothing_below_the_level_is_written(level: str, least: str) -> None:
    """What was not asked for costs nothing."""
    assert lines(level)[0]["level"] == least
