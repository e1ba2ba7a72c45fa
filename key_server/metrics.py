"""What the key server measures."""

from prometheus_client import Counter, Gauge

EPOCHS_AHEAD = Gauge("milepost_keys_epochs_ahead", "Epochs that are made and have yet to begin")
LIST_VERSION = Gauge(
    "milepost_keys_list_version_timestamp_seconds", "When the published list was signed"
)
UNANSWERED = Counter(
    "milepost_keys_boxes_unanswered_total",
    "Address boxes that were not answered, by why",
    ["fault"],
)
COPY_MADE = Gauge(
    "milepost_keys_backup_timestamp_seconds", "When the newest copy of the keys was made; 0: none"
)
CALLS = Counter("milepost_keys_calls_total", "Calls, by what was asked for", ["purpose"])
DESTROYED = Counter(
    "milepost_keys_destroyed_total", "Secrets destroyed since the process started", ["what"]
)
DESTRUCTIONS_WAITING = Gauge(
    "milepost_keys_destructions_waiting",
    "Secrets whose time is over and that are held back",
    ["what"],
)
DESTRUCTION_OVERDUE = Gauge(
    "milepost_keys_destruction_overdue_seconds",
    "How long ago the time was over of the secret that has been held back longest",
)
