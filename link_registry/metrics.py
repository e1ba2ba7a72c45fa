"""The registry's own metrics."""

from prometheus_client import Counter, Gauge

LINKS = Gauge("milepost_registry_links", "Links in the registry")
POSITION = Gauge("milepost_registry_feed_position", "Position of the newest change in the feed")
SUBSCRIBERS = Gauge("milepost_registry_feed_subscribers", "Edges that follow the feed now")
SNAPSHOTS = Counter(
    "milepost_registry_feed_snapshots_total", "Snapshots sent to edges that could not be resumed"
)
CUT = Counter(
    "milepost_registry_feed_cut_total", "Subscribers whose stream was ended as they did not read"
)
BULK_ITEMS = Counter("milepost_registry_bulk_items_total", "Items of bulk calls that were done")
