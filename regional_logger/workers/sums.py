"""Metrics of an edge with workers: each worker's, and those of workers that died, added up.

Rules of this file:
- Pure but for its own state.
"""

import math
from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.registry import Collector

from milepost.metrics import MALFORMED
from regional_logger import metrics
from regional_logger.workers.messages import Sample

# What happens in workers.  Everything else happens in the parent.
TOLD = (
    metrics.VISITS,
    metrics.REFUSED,
    metrics.ODD_TARGETS,
    metrics.LATE,
    metrics.COMMIT_SECONDS,
    metrics.BATCH_RECORDS,
    metrics.COMMIT_FAILURES,
    metrics.REFUSED_CONNECTIONS,
    metrics.UNFINISHED,
    metrics.STREAMS,
    metrics.QUEUED,
    metrics.GEO_FILES_REFUSED,
    metrics.PLACE_ERRORS,
    metrics.LINK_READS,
    metrics.LINKS_NEAR,
    metrics.LINKS_NEAR_BYTES,
    metrics.GATEKEEPER_BYTES,
    MALFORMED,
)
# What a worker has, and not what it has done: it ends with it.
OF_THE_LIVING = (
    "milepost_queue_records",
    "milepost_geo_files_refused",
    "milepost_links_in_memory",
    "milepost_links_memory_bytes",
    "milepost_gatekeeper_bytes",
)
BIRTH = "_created"

Key = tuple[str, tuple[tuple[str, str], ...]]


def own_samples() -> tuple[Sample, ...]:
    """Return this process's part."""
    return tuple(
        (sample.name, dict(sample.labels), sample.value)
        for told in TOLD
        for metric in told.collect()
        for sample in metric.samples
        if not sample.name.endswith(BIRTH)
    )


class Summed(Collector):
    """Another collector's metrics, with the workers' added."""

    def __init__(self, own: Collector) -> None:
        self._own = own
        self._of: dict[int, dict[Key, float]] = {}
        self._gone: dict[Key, float] = {}

    def take(self, worker: int, samples: Iterable[Sample]) -> None:
        """Take what *worker* has counted since it started."""
        known = {_key(name, labels) for name, labels, _ in own_samples()}
        self._of[worker] = {
            key: value
            for name, labels, value in samples
            if math.isfinite(value) and (key := _key(name, labels)) in known
        }

    def end(self, worker: int) -> None:
        """Keep what *worker*, which has ended, counted last: a sum never falls."""
        for key, value in self._of.pop(worker, {}).items():
            if key[0] not in OF_THE_LIVING:
                self._gone[key] = self._gone.get(key, 0.0) + value

    def collect(self) -> Iterator[Metric]:
        """Give every metric."""
        for metric in self._own.collect():
            summed = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            for sample in metric.samples:
                more = self._more(_key(sample.name, sample.labels))
                summed.add_sample(sample.name, sample.labels, sample.value + more)
            yield summed

    def _more(self, key: Key) -> float:
        return self._gone.get(key, 0.0) + sum(of.get(key, 0.0) for of in self._of.values())


def _key(name: str, labels: dict[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))
