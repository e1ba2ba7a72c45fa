"""The aggregator's own metrics."""

import contextlib
from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

HITS = Counter("milepost_hits_applied_total", "Hits put into the combined database")
BATCHES = Counter(
    "milepost_batches_applied_total",
    "Batches applied, by what became of them; repeated: its id was there already; "
    "damaged: not as it was written, set aside alone",
    ["outcome"],
)
WAITING = Gauge("milepost_batches_waiting", "Batches that wait sealed for their key")
SET_ASIDE = Gauge(
    "milepost_batches_set_aside", "Batches that are damaged or cannot be read, kept with a reason"
)
RECORDS_SET_ASIDE = Gauge(
    "milepost_records_set_aside",
    "Records set aside: in batches that are damaged or cannot be read, and alone",
)
REFUSALS = Counter(
    "milepost_streams_refused_total", "Times that the rest of a stream in an answer was refused"
)
FORKS = Counter(
    "milepost_streams_forked_total",
    "Times that a stream's file was found to have another history, and was read anew",
)
PULL_ERRORS = Counter("milepost_pull_errors_total", "Pulls that failed", ["source"])
SUCCESS_AGE = Gauge(
    "milepost_source_success_age_seconds",
    "Time since a source last answered, or since the start if it has not",
    ["source"],
)
SOURCES = Gauge("milepost_sources", "Sources, by what has become of them", ["state"])
DISCOVERY_ERRORS = Counter(
    "milepost_discovery_errors_total", "Looks for sources in the DNS that failed"
)
DISCOVERY_AGE = Gauge(
    "milepost_discovery_age_seconds",
    "Time since a look for sources in the DNS was answered in whole; 0 where none is made",
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
LIMITED = Gauge("milepost_limited_links", "Enabled links whose clicks are counted against a limit")
LIMIT_ERRORS = Counter(
    "milepost_limit_errors_total", "Rounds of counting clicks against their limits that failed"
)
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
ROLLED = Counter("milepost_hits_rolled_total", "Hits counted in rollups and put into blocks")
ROLL_SECONDS = Histogram("milepost_roll_duration_seconds", "Time to roll one block of hits up")

ERASED = Counter("milepost_hits_erased_total", "Hits that an erase rule removed, or did not let in")
ERASE_PENDING = Gauge("milepost_erase_pending", "Erase rules that are not carried out to their end")
ERASE_UNKEPT = Gauge(
    "milepost_erase_unkept", "Erase rules that are not beside the database yet, or not in the store"
)
EXPIRED = Counter("milepost_hits_expired_total", "Hits removed because they were too old")
SWEPT_TEXTS = Counter(
    "milepost_texts_swept_total", "Texts removed that no hit and no sum has any more"
)

REPLICAS = Gauge("milepost_replicas", "Replicas of streams in the object store")
REPLICAS_FOREIGN = Gauge(
    "milepost_replicas_foreign", "Things in the object store that are no replicas of streams"
)
REPLICAS_FAILED = Gauge("milepost_replicas_failed", "Replicas that had to be read and could not be")
REPLICAS_READ = Counter(
    "milepost_replicas_read_total",
    "Replicas read to their end; swept: their machine has gone, and that was all",
    ["outcome"],
)
REPLICAS_DELETED = Counter(
    "milepost_replicas_deleted_total", "Replicas of retired streams that were deleted"
)
SWEEP_ERRORS = Counter("milepost_sweep_errors_total", "Sweeps of the object store that failed")
SWEEP_SECONDS = Histogram(
    "milepost_sweep_duration_seconds",
    "Time to sweep the object store once",
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 900),
)

LIVE_SUBSCRIBERS = Gauge("milepost_live_subscribers", "Streams of hits that are open")
LIVE_CUT = Counter(
    "milepost_live_cut_total", "Streams of hits that were cut because nobody read them"
)


def forget_source(url: str) -> None:
    """Show nothing more of a source that is not pulled any more."""
    for metric in (PULL_ERRORS, SUCCESS_AGE):
        with contextlib.suppress(KeyError):
            metric.remove(url)


def count_applied(done: Mapping[str, int]) -> None:
    """Add what one transaction did: hits, and batches by outcome."""
    for outcome, count in done.items():
        if outcome == "hits":
            HITS.inc(count)
        else:
            BATCHES.labels(outcome).inc(count)
