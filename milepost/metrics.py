"""Metrics that every service has.  A service's own stand in its `metrics.py`.

Names begin with `milepost_`, units are base units, and no label names a link or
a person.  docs/operations.md describes each; a test keeps the two lists equal.
"""

from prometheus_client import Counter, Histogram, Info

BUILD = Info("milepost_build", "Version of Milepost and of the SQLite it runs on")
REQUESTS = Counter(
    "milepost_http_requests_total",
    "Requests answered on the private listener",
    ["method", "status"],
)
REQUEST_SECONDS = Histogram(
    "milepost_http_request_duration_seconds", "Time to answer on the private listener"
)
MALFORMED = Counter(
    "milepost_http_malformed_total",
    "Requests that were refused before they were a visit, on any listener",
)
