"""The edge's own metrics."""

from prometheus_client import Counter, Gauge, Histogram

from regional_logger.decide import ODDITIES, REFUSALS

VISITS = Counter(
    "milepost_visits_total", "Visits served, by what became of their record", ["outcome"]
)
REFUSED = Counter(
    "milepost_visits_refused_total", "Visits answered with an error and not recorded", ["reason"]
)
ODD_TARGETS = Counter(
    "milepost_odd_targets_total", "Prefix redirects to a target that looks wrong", ["oddity"]
)
LATE = Counter("milepost_records_late_total", "Records whose answer left before their commit")
COMMIT_SECONDS = Histogram(
    "milepost_commit_duration_seconds",
    "Time to seal and commit a batch",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
BATCH_RECORDS = Histogram(
    "milepost_batch_records", "Records in a batch", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
COMMIT_FAILURES = Counter(
    "milepost_commit_failures_total", "Commits that failed and went into a new stream"
)
REFUSED_CONNECTIONS = Counter(
    "milepost_connections_refused_total", "Visitors' connections closed because there were too many"
)
UNFINISHED = Counter(
    "milepost_connections_unfinished_total",
    "Visitors' connections closed because a request, or reading its answer, took too long",
)
DISK_USED = Gauge("milepost_disk_used_ratio", "How full the disk under the log is, 0 to 1")
GEO_FILES_REFUSED = Gauge(
    "milepost_geo_files_refused",
    "Geo files that are missing or cannot be read as they are now, in each process",
)
PLACE_ERRORS = Counter(
    "milepost_place_errors_total", "Times that a geo file failed on an address of a visit"
)
QUEUED = Gauge("milepost_queue_records", "Records that wait in memory for the log")
STREAMS = Counter("milepost_streams_opened_total", "Streams begun since the process started")
UNREADABLE = Gauge(
    "milepost_streams_unreadable",
    "Files in the log's folder that cannot be read, or not to the end",
)
RETIRED = Counter("milepost_streams_retired_total", "Streams deleted after acknowledgement")
LINK_READS = Counter(
    "milepost_link_reads_total",
    "Reads of the local replica for links that were not in memory, by what came of them",
    ["outcome"],
)
LINKS_NEAR = Gauge("milepost_links_in_memory", "Literal links in memory")
LINKS_NEAR_BYTES = Gauge(
    "milepost_links_memory_bytes", "Memory that the literal links take, as it is reckoned"
)
GATEKEEPER_BYTES = Gauge("milepost_gatekeeper_bytes", "Memory that the gatekeeper takes")

READ_FOUND = LINK_READS.labels("found")
READ_ABSENT = LINK_READS.labels("absent")
READ_LATE = LINK_READS.labels("late")
READ_FAILED = LINK_READS.labels("failed")
READ_REFUSED = LINK_READS.labels("refused")
ACCEPTED = VISITS.labels("accepted")
SHED = VISITS.labels("shed")
EXCLUDED = VISITS.labels("excluded")
REFUSED_FOR = {reason: REFUSED.labels(reason) for reason in REFUSALS}
ODD = {oddity: ODD_TARGETS.labels(oddity) for oddity in ODDITIES}
