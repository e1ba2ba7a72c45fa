"""The aggregator's own metrics."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

HITS = Counter("milepost_hits_applied_total", "Hits put into the combined database")
BATCHES = Counter(
    "milepost_batches_applied_total",
    "Batches applied, by what became of them; repeated: its id was there already",
    ["outcome"],
)
WAITING = Gauge("milepost_batches_waiting", "Batches that wait sealed for their key")
SET_ASIDE = Gauge("milepost_batches_set_aside", "Batches that cannot be read, kept with a reason")
RECORDS_SET_ASIDE = Gauge(
    "milepost_records_set_aside", "Records set aside: in batches that cannot be read, and alone"
)
REFUSALS = Counter(
    "milepost_streams_refused_total", "Times that the rest of a stream in an answer was refused"
)
PULL_ERRORS = Counter("milepost_pull_errors_total", "Pulls that failed", ["source"])
SUCCESS_AGE = Gauge(
    "milepost_source_success_age_seconds",
    "Time since a source last answered, or since the start if it has not",
    ["source"],
)
HASHED = Counter(
    "milepost_hits_hashed_total", "Hits that got their visitor hash from the key server later"
)
WITHOUT_HASH = Counter(
    "milepost_hits_without_hash_total",
    "Hits that stay without a visitor hash, by why; absent: their address is not in the box",
    ["fault"],
)
ADDRESS_BOXES = Gauge("milepost_address_boxes", "Batches whose sealed addresses are kept")
HASH_ERRORS = Counter("milepost_hash_errors_total", "Calls for visitor hashes that failed")
SERVED = Gauge("milepost_served_clicks", "Visits that edges took in, as far as known", ["region"])
RECORDED = Gauge("milepost_recorded_clicks", "Visits that pulled batches recorded", ["region"])
SHED = Gauge("milepost_shed_clicks", "Visits that were answered and not kept", ["region"])
LOST = Gauge("milepost_lost_clicks", "Visits that were accepted and that no copy holds", ["region"])
BEHIND = Gauge(
    "milepost_behind_clicks", "Visits that were accepted and may still be pulled", ["region"]
)
UNACCOUNTED = Gauge(
    "milepost_unaccounted_clicks", "Visits that no equation explains; not 0: an alarm", ["region"]
)
SPANS = Gauge("milepost_unspoken_spans", "Spans of time that nobody can speak for")
OPEN_SECONDS = Histogram(
    "milepost_open_duration_seconds", "Time to open the record boxes of one answer"
)
APPLY_SECONDS = Histogram(
    "milepost_apply_duration_seconds", "Time to commit what one answer brought"
)


def count_applied(done: Mapping[str, int]) -> None:
    """Add what one transaction did: hits, and batches by outcome."""
    for outcome, count in done.items():
        if outcome == "hits":
            HITS.inc(count)
        else:
            BATCHES.labels(outcome).inc(count)
