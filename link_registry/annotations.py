"""What people write on a link for themselves: tags, a note, a limit of clicks.

Rules of this file:
- Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.tags import tag_from

ANNOTATIONS = ("tags", "note", "click_limit")
TAGS_MAX, NOTE_CHARS_MAX = 20, 2_000
CLICK_LIMIT_MAX = 1_000_000_000_000
# As Python and JSON Schema both read it.
NOTE_PATTERN = r"[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*"
_NOTE = re.compile(NOTE_PATTERN)


def annotations_from(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *fields* that are annotations, checked."""
    found: dict[str, Any] = {}
    if "tags" in fields:
        found["tags"] = _tags(fields["tags"])
    if "note" in fields:
        found["note"] = _note(fields["note"])
    if "click_limit" in fields:
        found["click_limit"] = _click_limit(fields["click_limit"])
    return found


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > TAGS_MAX:
        raise FieldError(
            field="tags", accepted=f"a list of at most {TAGS_MAX} tags", got=shape_of(value)
        )
    return tuple(dict.fromkeys(tag_from(each, "tags") for each in value))


def _note(value: Any) -> str | None:
    good = isinstance(value, str) and len(value) <= NOTE_CHARS_MAX and _NOTE.fullmatch(value)
    if value is None or good:
        return value or None
    accepted = f"a text of at most {NOTE_CHARS_MAX} characters, lines and tabs allowed, or null"
    raise FieldError(field="note", accepted=accepted, got=shape_of(value))


def _click_limit(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= CLICK_LIMIT_MAX:
        accepted = f"a number of clicks from 1 to {CLICK_LIMIT_MAX}, or null for none"
        raise FieldError(field="click_limit", accepted=accepted, got=shape_of(value))
    return value
