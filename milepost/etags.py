"""Entity tags: a change that is meant only for the version that somebody has seen.

Rules of this file:
- Pure.
- Comparison is strong (RFC 9110): a tag that says it is weak never matches.
"""

import re
from dataclasses import dataclass

from milepost.errors import FieldError, StaleError
from milepost.fields import shape_of

ANY = "*"
_TAG = r'(?:W/)?"[\x21\x23-\x7e]{0,64}"'
IF_MATCH_PATTERN = rf"\*|{_TAG}(?:, ?{_TAG}){{0,9}}"
_IF_MATCH = re.compile(IF_MATCH_PATTERN)


def etag_of(version: int) -> str:
    """Return *version* as an entity tag."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """The versions that a caller is ready to change; none are named: whichever is there."""

    tags: tuple[str, ...] = ()

    def refuse_other(self, version: int) -> None:
        """Refuse when *version*, which is there, is none of them."""
        if self.tags and ANY not in self.tags and etag_of(version) not in self.tags:
            msg = f"If-Match: version {version} is there; read it again before changing it"
            raise StaleError(msg, version=version)


def wanted(header: str | None) -> Wanted:
    """Return what an If-Match *header* says, or refuse."""
    if header is None:
        return Wanted()
    if not _IF_MATCH.fullmatch(header):
        raise FieldError(
            field="If-Match", accepted='a version such as "3", or *', got=shape_of(header)
        )
    return Wanted(tuple(re.findall(_TAG, header)) or (ANY,))
