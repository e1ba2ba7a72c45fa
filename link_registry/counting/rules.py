"""What a call that tells counts may say.

Rules of this file:
- Pure.
- A count is a total, not what was added: telling it twice changes nothing.
"""

from typing import Any

from milepost.errors import FieldError
from milepost.fields import shape_of

LINKS_MAX = 10_000  # in one call
ID_CHARS_MAX = 64
CLICKS_MAX = (1 << 53) - 1


def counts_of(body: Any) -> dict[str, int]:
    """Return the total of each link in *body*, or refuse."""
    if not isinstance(body, dict):
        raise FieldError(field="the body", accepted="an object with counts", got=shape_of(body))
    for name in body:
        if name != "counts":
            raise FieldError(field=name[:40], accepted="only counts", got="no such field")
    counts = body.get("counts")
    if not isinstance(counts, dict) or len(counts) > LINKS_MAX:
        accepted = f"an object of at most {LINKS_MAX} ids with their totals"
        raise FieldError(field="counts", accepted=accepted, got=shape_of(counts))
    for link_id, clicks in counts.items():
        if not 0 < len(link_id) <= ID_CHARS_MAX:
            accepted = f"ids of 1 to {ID_CHARS_MAX} characters"
            raise FieldError(field="counts", accepted=accepted, got=shape_of(link_id))
        if isinstance(clicks, bool) or not isinstance(clicks, int) or not 0 <= clicks <= CLICKS_MAX:
            accepted = f"a number of clicks from 0 to {CLICKS_MAX}"
            raise FieldError(field=f"counts.{link_id}", accepted=accepted, got=shape_of(clicks))
    return counts
