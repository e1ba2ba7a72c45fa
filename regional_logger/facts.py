"""What a link's rules are told of a visit.

Rules of this file:
- Pure.  What stands in for a missing hash leaves no trace but the variant that it draws.
"""

from hashlib import blake2b

from milepost.targeting.choosing import Facts
from milepost.visitor import HASH_BYTES, canonical_address
from milepost.vocabulary import Region
from regional_logger.remember import Visit, Visitor

DRAW_KEY_BYTES = 32


def facts_of(visit: Visit, visitor: Visitor, *, region: Region, draw_key: bytes) -> Facts:
    """Return the facts of *visit*.

    Where there is no hash, because there is no salt or nobody wants to be counted,
    the address itself draws under *draw_key*, which is this process's own chance.
    """
    _opted_out, _canonical, hashed, place = visitor
    drawn_by: bytes | None = hashed
    if drawn_by is None:
        address = canonical_address(visit.address) or ""
        drawn_by = blake2b(address.encode(), key=draw_key, digest_size=HASH_BYTES).digest()
    return Facts(
        time=visit.time,
        region=region,
        country=place.country,
        language=visit.headers.get("Accept-Language", ""),
        agent=visit.headers.get("User-Agent", ""),
        visitor=drawn_by,
    )
