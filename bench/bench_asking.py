"""How long do answers take at ten million hits?

A real aggregator on a copy of a database of generated hits: totals of thirty days by
each dimension, the first page of hits for each field with values that come often, now
and then, hardly ever and never, and exports.  One question at a time, over loopback.
What nobody answers yet is listed as missing, and what the aggregator refuses because
it would cost too much as refused; neither is a failure.  What takes long is asked
less often, so a bar for any one question is one for the worst, which is named beside
the sums.  The database is made once and kept in `--cache`; its hits end at the moment
when it was made.
"""

import argparse
import contextlib
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bench_ingest import HISTORY, now_ms, show
from bench.generating.combined import Made, database_of
from bench.generating.exports import FORMATS, export
from bench.generating.hits import DAY_MS, DAYS
from bench.generating.questions import (
    Answers,
    Asker,
    Question,
    ask_all,
    hits_questions,
    stats_questions,
    summed,
)
from milepost.tokens import HITS_READ, tokens_document
from milepost.vocabulary import Millis
from tests.log.combined import QUERY_TOKEN
from tests.log.kit import READER_TOKEN, Service, free_port

NOBODY = "http://127.0.0.1:9"
WORST = 12
STALE_MS = DAY_MS


def progress(hits: int) -> Callable[[int], None]:
    """Return what tells how far the making is, and how fast it goes."""
    begun, told = time.monotonic(), 0.0

    def tell(done: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > 1:
            told = now
            show(f"making a database: {done:,} of {hits:,}, {done / (now - begun):,.0f} a second")

    return tell


@contextlib.contextmanager
def aggregator_on(database: Path, folder: Path) -> Iterator[Service]:
    """Run an aggregator on a copy of *database*, with nobody around it."""
    data = folder / "combined"
    data.mkdir()
    shutil.copyfile(database, data / "combined.db")
    tokens = folder / "tokens.json"
    tokens.write_bytes(tokens_document([("query", [HITS_READ], QUERY_TOKEN)]))
    port = free_port()
    env = {
        "DATA": str(data),
        "PRIVATE_LISTEN": f"127.0.0.1:{port}",
        "TOKENS_FILE": str(tokens),
        "TOKEN": READER_TOKEN,
        "KEYS_URL": NOBODY,
        "KEYS_IDENTITY": "11" * 32,
        "SOURCES": NOBODY,
    }
    settings = {f"MILEPOST_{name}": value for name, value in env.items()}
    service = Service("aggregator", settings, folder / "aggregator.log", port)
    service.start()
    try:
        service.wait_live()
        yield service
    finally:
        service.stop()


def grouped(found: dict[Question, Answers]) -> dict[str, Any]:
    """Sum the answers up by their groups, and name those without one."""
    told: dict[str, Any] = {}
    for group in dict.fromkeys(question.group for question in found):
        answered = {q: a for q, a in found.items() if q.group == group and a.took}
        if answered:
            told[group] = summed([each for answers in answered.values() for each in answers.took])
            worst = max(answered, key=lambda q: summed(answered[q].took)["p99"])
            told[group]["worst"] = {worst.name: summed(answered[worst].took)}
    for why in ("refused", "failed"):
        told[why] = [f"{q.group}: {q.name}" for q, a in found.items() if getattr(a, why)]
    # By field: that its values are missing one by one says no more.
    told["missing"] = sorted(
        {f"{q.group}: {q.name.split()[0]}" for q, a in found.items() if a.missing}
    )
    return told


def show_answers(found: dict[Question, Answers]) -> None:
    """Print the slowest questions, and why others were refused or failed."""
    answered = [(question, summed(a.took)) for question, a in found.items() if a.took]
    answered.sort(key=lambda pair: -pair[1]["p99"])
    for question, took in answered[:WORST]:
        print(
            f"  {question.group + ': ' + question.name:46} p50 {took['p50']:9.2f}   "
            f"p99 {took['p99']:9.2f}   max {took['max']:9.2f} ms   ({took['asked']} times)"
        )
    for question, answers in found.items():
        if why := answers.refused or answers.failed:
            print(f"  {question.group}: {question.name}: {why}")


def measure(asked: argparse.Namespace, database: Path, made: Made) -> dict[str, Any]:
    """Ask everything, then export; return what to keep."""
    end = Millis(made.end_ms)
    if now_ms() - end > STALE_MS:
        show("the database is more than a day old: `-30d` reaches less of it", last=True)
    questions = [*stats_questions(end), *hits_questions(made.values)]
    with (
        tempfile.TemporaryDirectory(dir=database.parent) as folder,
        aggregator_on(database, Path(folder)) as service,
    ):
        assert service.process
        asker = Asker(service.private_port, QUERY_TOKEN)
        found = ask_all(
            asker, questions, asked.repeats, lambda n: show(f"round {n} of {asked.repeats}")
        )
        share = min(1.0, asked.export_rows / made.hits)
        start = end - round((DAYS + 2) * DAY_MS * share)
        exports = {form: export(asker, service.process.pid, form, start) for form in FORMATS}
    show_answers(found)
    return {**grouped(found), "export": exports}


def options() -> argparse.ArgumentParser:
    """Return what may be told."""
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("--hits", type=int, default=10_000_000, help="in the database")
    told.add_argument("--repeats", type=int, default=30, help="of each question")
    told.add_argument("--export-rows", type=int, default=2_000_000, help="about so many")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--cache", type=Path, help="the file to keep the database in")
    told.add_argument("--quick", action="store_true", help="a small database, three repeats")
    told.add_argument("--keep", action="store_true", help="append to history.jsonl")
    return told


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Make the database if it is not there, measure, and return what was found."""
    with contextlib.ExitStack() as stack:
        cache = asked.cache or (
            Path(stack.enter_context(tempfile.TemporaryDirectory())) / "combined.db"
        )
        made = database_of(
            cache,
            hits=asked.hits,
            end=now_ms(),
            seed=asked.seed,
            tell=progress(asked.hits),
        )
        show(f"a database of {made.hits:,} hits, {made.hits_per_second:,} a second", last=True)
        return {
            "bench": "asking",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "hits": made.hits,
            "made_per_second": made.hits_per_second,
            "rolled_per_second": made.rolled_per_second,
            **measure(asked, cache, made),
        }


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    asked = options().parse_args()
    if asked.quick:
        asked.hits, asked.repeats = min(asked.hits, 100_000), 3
    line = run(asked)
    print(json.dumps(line, indent=2))
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
