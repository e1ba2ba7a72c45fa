"""Values to ask for: of each field one that comes often, one now and then, one hardly ever."""

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from urllib.parse import urlsplit

from milepost.record import Record

ONE_OF = 16  # batches that are looked at: enough to tell what is rare
FREQUENT, MIDDLING, RARE, ABSENT = "frequent", "middling", "rare", "absent"
FIELDS = tuple(name for name in Record._fields if name != "time")
ABSENT_NUMBERS = {"status": "599", "asn": "4294967295"}


class Values:
    """How often each value of each field comes, as far as was looked."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Any]] = {name: Counter() for name in FIELDS}
        self._urls: Counter[tuple[str, str]] = Counter()
        self._batches = 0

    def note(self, records: Sequence[Record]) -> None:
        """Look at a batch now and then."""
        self._batches += 1
        if self._batches % ONE_OF:
            return
        for name, counts in self._counts.items():
            counts.update(map(itemgetter(Record._fields.index(name)), records))
        self._urls.update((each.host, each.path) for each in records)

    def chosen(self) -> dict[str, dict[str, str]]:
        """Return the values to ask for, by field and by how often they come."""
        counts = {**self._counts, "referrer": self._referrers()}
        found = {name: _chosen(name, counted) for name, counted in counts.items()}
        urls = Counter({f"https://{host}{path}": n for (host, path), n in self._urls.items()})
        found["url"] = _chosen("url", urls)
        for often in (FREQUENT, RARE):
            if often in found["url"]:
                exact = found["url"][often]
                found["url"][f"{often} prefix"] = f"{exact[: exact.index('/', 8) + 4]}*"
        return found

    def _referrers(self) -> Counter[str]:
        hosts: Counter[str] = Counter()
        for referer, count in self._counts["referer"].items():
            if referer:
                hosts[urlsplit(referer).hostname or ""] += count
        return hosts


def _chosen(name: str, counts: Counter[Any]) -> dict[str, str]:
    ranked = [(value, count) for value, count in counts.most_common() if value is not None]
    absent = {ABSENT: ABSENT_NUMBERS.get(name, f"https://no.example/such-{name}")}
    if name == "visitor":
        absent = {ABSENT: "0" * 32}
    if name in {"opt_out", "device", "os", "browser", "class"}:
        absent = {}
    if not ranked:
        return absent
    # Halfway between the most and the least, as those see it who count in powers of ten.
    halfway = (ranked[0][1] * ranked[-1][1]) ** 0.5
    middling = min(ranked, key=lambda pair: abs(pair[1] - halfway))[0]
    found = {FREQUENT: ranked[0][0], MIDDLING: middling, RARE: ranked[-1][0]}
    told = {often: _text(value) for often, value in found.items()}
    each_once = {value: often for often, value in reversed(told.items())}
    return {often: told[often] for often in told if each_once[told[often]] == often} | absent


def _text(value: Any) -> str:
    """Return *value* as it stands in a question."""
    if isinstance(value, bytes):
        return value.hex()
    return "true" if value is True else str(value)
