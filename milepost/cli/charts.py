"""Charts that fit into a cell of a table.

Rules of this file:
- Pure.
- Nothing that is not zero looks like zero.
"""

from collections.abc import Sequence
from math import ceil

EIGHTHS = "▏▎▍▌▋▊▉█"
HEIGHTS = "▁▂▃▄▅▆▇█"
PLAIN_HEIGHTS = "_.-=#"  # for terminals that know no others
BAR_CHARS, LINE_CHARS_MAX = 20, 60


def bar(count: int, most: int, *, plain: bool = False, chars: int = BAR_CHARS) -> str:
    """Return a bar that is *chars* long for *most*."""
    if count <= 0 or most <= 0:
        return ""
    if plain:
        return "#" * ceil(chars * count / most)
    whole, eighths = divmod(ceil(8 * chars * count / most), 8)
    return EIGHTHS[-1] * whole + (EIGHTHS[eighths - 1] if eighths else "")


def line(counts: Sequence[int], *, plain: bool = False, chars_max: int = LINE_CHARS_MAX) -> str:
    """Return a line that shows how *counts* go up and down; several are one where it is narrow."""
    heights = PLAIN_HEIGHTS if plain else HEIGHTS
    each = ceil(len(counts) / chars_max) or 1
    sums = [sum(counts[at : at + each]) for at in range(0, len(counts), each)]
    most = max(sums, default=0)
    return "".join(heights[_height(count, most, len(heights) - 1)] for count in sums)


def _height(count: int, most: int, highest: int) -> int:
    return ceil(highest * count / most) if count > 0 else 0
