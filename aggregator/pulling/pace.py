"""When to ask a source again.

Rules of this file:
- Pure.  The dice are thrown by the caller.
"""

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 5.0
DOUBLINGS_MAX = 16


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
