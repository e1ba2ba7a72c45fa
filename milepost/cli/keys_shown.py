"""How epochs are shown.

Rules of this file:
- Pure.
"""

from collections.abc import Mapping
from typing import Any

from milepost.cli.output import moment

MINUTE, HOUR, DAY = 60, 3_600, 86_400

COLUMNS = {
    "epoch": "EPOCH",
    "state": "STATE",
    "start": "BEGINS",
    "end": "ENDS",
    "opens": "OPENS",
    "age": "AGE",
    "key": "KEY",
}


def shown(epoch: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return *epoch* as a row of the table."""
    return {
        **epoch,
        "start": moment(epoch["start_ms"]),
        "end": moment(epoch["end_ms"]),
        "opens": opens(epoch),
        "age": age(now_ms - epoch["end_ms"]) if epoch["state"] == "past" else None,
    }


def opens(epoch: Mapping[str, Any]) -> str:
    """Return what can still be done with the epoch's secrets."""
    held = {"salt": "salt_gone_ms", "records": "record_gone_ms"}
    return ", ".join(name for name, gone in held.items() if epoch.get(gone) is None) or "nothing"


def age(ms: int) -> str:
    """Return how long ago something ended, in its largest unit."""
    seconds = max(0, ms // 1000)
    for unit, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {letter}"
    return f"{seconds} s"
