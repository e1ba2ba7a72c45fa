"""Where a visit comes from: country, subdivision and network, as a local file tells.

Rules of this file:
- Pure.  What a file says comes from outside: it is what it should be, or it is left out.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

ASN_MAX = (1 << 32) - 1

_COUNTRY = re.compile(r"[A-Z]{2}")  # ISO 3166-1
_SUBDIVISION = re.compile(r"[0-9A-Z]{1,3}")  # ISO 3166-2, what stands behind the country


class Place(NamedTuple):
    """What is known of where an address is."""

    country: str | None = None
    subdivision: str | None = None
    asn: int | None = None


NOWHERE = Place()

FindPlace = Callable[[str], Place]
"""address -> place.  It never fails, and keeps nothing of the address."""


def place_in(told: Any) -> Place:
    """Return the place in *told*, one answer of a file.

    Where a network is registered says little about where its visitors are: without
    a country of its own, an answer has none.  A subdivision counts in its country.
    """
    if type(told) is not dict:
        return NOWHERE
    asn = told.get("autonomous_system_number")
    if type(asn) is not int or not 0 < asn <= ASN_MAX:
        asn = None
    country = _code(told.get("country"), _COUNTRY)
    if country is None:
        return Place(asn=asn) if asn else NOWHERE
    inside = told.get("subdivisions")
    first = inside[0] if type(inside) is list and inside else None
    return Place(country, _code(first, _SUBDIVISION), asn)


def combined(places: Iterable[Place]) -> Place:
    """Return what *places*, the answers of several files about one address, say together.

    The first that knows the country tells country and subdivision; the first that
    knows the network tells that.
    """
    country = subdivision = asn = None
    for place in places:
        if country is None:
            country, subdivision = place.country, place.subdivision
        if asn is None:
            asn = place.asn
    return Place(country, subdivision, asn)


def _code(told: Any, wanted: re.Pattern[str]) -> str | None:
    code = told.get("iso_code") if type(told) is dict else None
    return code if type(code) is str and wanted.fullmatch(code) else None
