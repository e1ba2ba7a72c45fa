"""The header that tells a repeat from a call of its own, and what is compared of its body.

Rules of this file:
- Pure.
"""

import hashlib
import re
from collections.abc import Mapping

from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.openapi import HEADER, Parameter, whole

KEY_HEADER = "Idempotency-Key"
DIGEST_BYTES = 16

_KEY = re.compile(r"[\x21-\x7e]{1,200}")

KEY = Parameter(
    name=KEY_HEADER,
    meaning="remembered for a day: the same call under it happens once",
    where=HEADER,
    schema={"type": "string", "pattern": whole(_KEY.pattern)},
)


def key_of(headers: Mapping[str, str]) -> str:
    """Return the key that *headers* name, or refuse it; empty: none."""
    key = headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        accepted = "1 to 200 visible ASCII characters without a blank"
        raise FieldError(field=KEY_HEADER, accepted=accepted, got=shape_of(key))
    return key


def digest_of(body: bytes) -> bytes:
    """Return what two equal bodies have in common, and no other."""
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
