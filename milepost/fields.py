"""What came in a field, told without repeating it.

Rules of this file:
- Pure.
- Of a value only its shape is told: it may be long, secret, or not fit to be shown.
"""

from collections.abc import Mapping
from typing import Any


def shape_of(value: Any) -> str:
    """Return what *value*, which came as JSON, is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object"


def shape_in(fields: Mapping[str, Any], name: str) -> str:
    """Return what stands under *name* in *fields*."""
    return shape_of(fields[name]) if name in fields else "nothing"
