"""What the offline commands say to people.

Rules of this file:
- Pure.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from key_server.copies.recovering import Recovery
from milepost.vocabulary import Epoch, Millis


def founded(identity: str, *, key_file: str) -> str:
    """Say what is to be done after `init`."""
    where = f"the master key in {key_file}" if key_file else "the master key"
    return (
        f"MILEPOST_KEYS_IDENTITY={identity}\n"
        f"Give every edge and the aggregator that setting.\n"
        f"Store {where} somewhere else as well, away from this machine and from every copy of "
        "the keys: without it nothing that was sealed can be opened.\n"
    )


def recovered(result: Recovery, made_ms: Millis, *, with_receipts: bool) -> str:
    """Say what there is again, and what it costs."""
    copy, first = result.copy, result.new[0].number
    above = max(epoch.number for epoch in copy.epochs) if copy.epochs else 0
    unknown = f"whatever was sealed to epochs {above + 1} to {first - 1}"
    lines = [
        f"recovered identity {copy.identity.hex()} from the copy of {moment(made_ms)}",
        f"epochs begin again with number {first}; the list's version is {copy.version}",
        f"ended now, and still openable: {ranges(result.ended)}",
        f"can not be opened any more: {unknown}, {_when_above(result, made_ms)}",
        f"destroyed since the copy, by the receipts: {ranges(result.proven)}",
        f"salts past their grace, destroyed now: {ranges(result.salts_lost)}",
    ]
    if not with_receipts:
        lines.append(
            "no receipts were given: secrets that were destroyed by hand, and record keys that "
            "were destroyed at all, after the copy was made are back; destroy them again, or "
            "recover into an empty folder with --receipts"
        )
    return "".join(f"{line}\n" for line in lines)


def _when_above(result: Recovery, made_ms: Millis) -> str:
    over = [epoch for epoch in result.copy.epochs if epoch.number not in result.ended]
    if result.ended or not over:
        return (
            "made after the copy; they were in use only if epochs were "
            f"cut short by hand more than {max(0, len(result.ended) - 1)} times since"
        )
    return f"in use from {moment(max(made_ms, over[-1].end_ms))} on, or earlier by hand"


def rewrapped(key_file: str, until_ms: Millis, *, changed: bool) -> str:
    """Say what the operator still has to do."""
    done = "every secret is" if changed else "every secret was already"
    return (
        f"{done} wrapped under the master key in {key_file}\n"
        f"Start the key server with MILEPOST_MASTER_KEY_FILE={key_file} from now on.\n"
        "Copies of the keys that were made before still need the old master key: keep it until "
        f"they expire, at the latest {moment(until_ms)}, make a new copy, then destroy it.\n"
    )


def ranges(epochs: Sequence[Epoch]) -> str:
    """Return numbers as people write them: 1, 3-5."""
    parts: list[list[int]] = []
    for number in sorted(epochs):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in parts]
    return ", ".join(texts) or "none"


def moment(ms: int) -> str:
    """Return *ms* as people write it, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
