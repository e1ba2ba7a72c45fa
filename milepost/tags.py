"""Tags: what people sort links by, and may restrict a token to.

Rules of this file:
- Pure.
- A tag holds no character that JSON escapes: it is found in the stored list as it is.
"""

import re
from typing import Any

from milepost.errors import FieldError
from milepost.fields import shape_of

TAG_CHARS_MAX = 50
# As Python and JSON Schema both read it.
_PLAIN = r'[^\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff",\\]'
TAG_PATTERN = rf"{_PLAIN}+(?: {_PLAIN}+)*"
_TAG = re.compile(TAG_PATTERN)


def tag_from(value: Any, field: str) -> str:
    """Return *value* as a tag, or refuse."""
    if isinstance(value, str) and len(value) <= TAG_CHARS_MAX and _TAG.fullmatch(value):
        return value
    accepted = (
        f"words of at most {TAG_CHARS_MAX} characters in all, one space between them, "
        "no comma, quote or backslash"
    )
    raise FieldError(field=field, accepted=accepted, got=shape_of(value))
