"""When to ask a source again, and for how much.

Rules of this file:
- Pure.  The dice are thrown by the caller.
"""

from milepost.wire import LIMIT_BYTES_DEFAULT

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 5.0
DOUBLINGS_MAX = 16

# An answer is one transaction, and while it lasts the clicks of every source wait.
TAKING_IN_SECONDS = 0.25
LIMIT_BYTES_MIN = 64 << 10  # also where it begins; less would only cost more waits for the disk


def pause_seconds(failures: int, dice: float) -> float:
    """Return how long to wait after *failures* in a row; *dice* lies in [0, 1).

    A source that answers is asked again at once, since it holds its answer back
    until it has one.  The dice keep sources that failed together from coming
    back together.
    """
    if failures == 0:
        return 0.0
    doubled = PAUSE_SECONDS_MIN * 2.0 ** min(failures - 1, DOUBLINGS_MAX)
    return min(PAUSE_SECONDS_MAX, doubled) * (0.5 + dice / 2)


def limit_bytes(limit: int, seconds: float, *, more: bool) -> int:
    """Return how much to ask for after an answer within *limit* took *seconds* to take in.

    Turns waited for count as well: the more sources have a backlog, the smaller are the parts
    in which each is worked off.  Only an answer that left something out shows that *more* helps.
    """
    fitting = limit * TAKING_IN_SECONDS / max(seconds, TAKING_IN_SECONDS / 2)
    wanted = fitting if more else min(fitting, limit)
    return round(min(max(wanted, LIMIT_BYTES_MIN), LIMIT_BYTES_DEFAULT))
