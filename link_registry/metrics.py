"""The registry's own metrics."""

from prometheus_client import Counter, Gauge

LINKS = Gauge("milepost_registry_links", "Links in the registry")
POSITION = Gauge("milepost_registry_feed_position", "Position of the newest change in the feed")
SUBSCRIBERS = Gauge("milepost_registry_feed_subscribers", "Edges that follow the feed now")
SNAPSHOTS = Counter(
    "milepost_registry_feed_snapshots_total", "Snapshots sent to edges that could not be resumed"
)
LINKS_SPENT = Counter(
    "milepost_registry_links_spent_total",
    "Links disabled because they had reached their click limit",
)
GRANTS = Gauge(
    "milepost_registry_grants", "Grants, active, being cleaned up after or abandoned", ["state"]
)
GRANTS_ENDED = Counter("milepost_registry_grants_ended_total", "Grants ended by the schedule")
GRANT_ERRORS = Counter(
    "milepost_registry_grant_errors_total", "Times that looking for grants to end failed"
)
CLEANUPS = Counter(
    "milepost_registry_cleanups_total",
    "Runs for one cleanup id, by how they ended; failed: every try did",
    ["outcome"],
)
CLEANUPS_WAITING = Gauge(
    "milepost_registry_cleanups_waiting", "Cleanup ids of ended grants that are not done"
)
CLEANUPS_FAILING = Gauge(
    "milepost_registry_cleanups_failing", "Cleanup ids of which a run has failed and none succeeded"
)
CLEANUPS_ABANDONED = Counter(
    "milepost_registry_cleanups_abandoned_total",
    "Cleanup ids that were abandoned by hand: what they name may still be there",
)
CUT = Counter(
    "milepost_registry_feed_cut_total", "Subscribers whose stream was ended as they did not read"
)
BULK_ITEMS = Counter("milepost_registry_bulk_items_total", "Items of bulk calls that were done")
