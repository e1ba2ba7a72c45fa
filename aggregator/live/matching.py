"""Whether a hit, as it is told, meets filters: what `aggregator.asking.store` says in SQL.

Rules of this file:
- Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aggregator.access.narrowing import Narrowing
from aggregator.asking.filters import BOTS, URL, Filter


class Matcher:
    """Several filters, and what the caller may see at most."""

    def __init__(self, filters: Iterable[Filter], narrowing: Narrowing) -> None:
        self._unwanted: list[Filter] = []
        self._wanted: dict[str, list[Filter]] = {}  # by field: one of them is met
        for each in filters:
            if each.negated:
                self._unwanted.append(each)
            else:
                self._wanted.setdefault(each.field, []).append(each)
        self._allowed = [
            (field, allowed)
            for field, allowed in (("host", narrowing.hosts), ("link", narrowing.links))
            if allowed is not None
        ]

    def takes(self, hit: Mapping[str, Any]) -> bool:
        """Tell whether *hit* is one of those that are wanted."""
        return (
            all(hit.get(field) in allowed for field, allowed in self._allowed)
            and all(any(_meets(hit, each) for each in group) for group in self._wanted.values())
            and not any(_meets(hit, each) for each in self._unwanted)
        )


def _meets(hit: Mapping[str, Any], told: Filter) -> bool:
    value = _value(hit, told.field)
    if told.prefix:
        return value is not None and any(value.startswith(str(each)) for each in told.values)
    return value in told.values


def _value(hit: Mapping[str, Any], field: str) -> Any:
    if field == URL:
        return f"{hit['host']}{hit['path']}"
    value = hit.get("class" if field == BOTS else field)
    return bytes.fromhex(value) if field == "visitor" and value is not None else value
