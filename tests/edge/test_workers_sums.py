"""Metrics summed up over workers."""

import math

from prometheus_client import CollectorRegistry, Counter

from regional_logger import metrics
from regional_logger.decide import REFUSALS, TRAILING_SPACE
from regional_logger.workers.sums import Summed, own_samples

ACCEPTED: tuple[str, dict[str, str]] = ("milepost_visits_total", {"outcome": "accepted"})
QUEUED: tuple[str, dict[str, str]] = ("milepost_queue_records", {})


def value(summed: Summed, name: str, labels: dict[str, str]) -> float:
    """Return one sample of what is shown."""
    return next(
        sample.value
        for metric in summed.collect()
        for sample in metric.samples
        if sample.name == name and sample.labels == labels
    )


class OnlyVisits(CollectorRegistry):
    """The parent's own metrics, as far as these tests need them."""

    def __init__(self) -> None:
        super().__init__()
        visits = Counter("milepost_visits", "…", ["outcome"], registry=self)
        visits.labels("accepted").inc(1)
        self.register(metrics.QUEUED)


def test_workers_are_added_up_and_what_the_dead_counted_stays() -> None:
    """A counter that fell would look like a restart of everything."""
    summed = Summed(OnlyVisits())
    summed.take(1, [(*ACCEPTED, 5.0), (*QUEUED, 3.0)])
    summed.take(2, [(*ACCEPTED, 7.0), (*QUEUED, 4.0)])
    assert value(summed, *ACCEPTED) == 13

    before = value(summed, *QUEUED)
    summed.end(1)
    summed.take(1, [(*ACCEPTED, 2.0)])

    assert value(summed, *ACCEPTED) == 15
    assert value(summed, *QUEUED) == before - 3


def test_what_no_worker_counts_is_not_taken() -> None:
    """Nobody can make the sums grow without end, or turn one into no number."""
    summed = Summed(OnlyVisits())
    summed.take(1, [("milepost_anything", {}, 1.0), (*ACCEPTED, math.nan)])
    summed.end(1)

    assert value(summed, *ACCEPTED) == 1
    assert summed._gone == {}


def test_a_worker_tells_what_visitors_caused() -> None:
    """Histograms with all their parts, and no time of birth, which cannot be added."""
    names = {name for name, _, _ in own_samples()}

    assert {"milepost_visits_total", "milepost_records_late_total"} <= names
    assert {"milepost_commit_duration_seconds_bucket", "milepost_batch_records_sum"} <= names
    assert not [name for name in names if name.endswith("_created")]


def test_what_workers_refuse_and_follow_is_shown_by_their_parent() -> None:
    """With every label from the start, as a parent knows only those that it has itself."""
    told = {(name, *labels.values()) for name, labels, _ in own_samples()}

    assert {("milepost_visits_refused_total", reason) for reason in REFUSALS} <= told
    assert ("milepost_odd_targets_total", TRAILING_SPACE) in told
