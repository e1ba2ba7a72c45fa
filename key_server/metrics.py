"""What the key server measures."""

from prometheus_client import Counter, Gauge

EPOCHS_AHEAD = Gauge("milepost_keys_epochs_ahead", "Epochs that are made and have yet to begin")
LIST_VERSION = Gauge(
    "milepost_keys_list_version_timestamp_seconds", "When the published list was signed"
)
COPY_MADE = Gauge(
    "milepost_keys_backup_timestamp_seconds", "When the newest copy of the keys was made; 0: none"
)
CALLS = Counter("milepost_keys_calls_total", "Calls, by what was asked for", ["purpose"])
