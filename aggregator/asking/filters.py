r"""Filters: which hits a caller wants, read out of parameters.

    field=value          has this value; given several times: one of them
    field=!value         has none of these values
    field=               there is none;  field=!  there is one
    url=host/path…       host and path as received; with `*` at the end: what begins so

A backslash at the front is left out and what follows is the value as it is: `\!x` is the
value "!x", and a backslash alone the empty text.  Before a `*` at the end it makes that
an asterisk like any other.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aggregator.hits.store import INTERNED
from aggregator.rolling.fields import DERIVED
from milepost.errors import RejectedError
from milepost.visitor import HASH_BYTES

FILTERS_MAX, VALUES_MAX = 32, 100  # of one question, all fields together
TEXT_CHARS_MAX = 2_048
INTEGER_MAX = (1 << 63) - 1

URL, BOTS = "url", "bots"
HUMAN_CLASS = "human"
INTEGERS = ("status", "asn")
OWN_INDEX = ("visitor", "session", "ulid")
PREFIXED = frozenset({URL, "target"})
NAMES = (*INTERNED, *INTEGERS, "opt_out", *OWN_INDEX, *DERIVED, URL, BOTS)
CHOICES = ("include", "exclude", "only")
TRUTHS = {"true": 1, "false": 0}

Value = str | int | bytes | None  # None: there is none


class Filter(NamedTuple):
    """What a field must hold: one of *values*, or none of them.

    Several of one field that are not negated are alternatives.
    """

    field: str
    values: tuple[Value, ...]
    negated: bool = False
    prefix: bool = False  # the values are beginnings


class Narrowing(NamedTuple):
    """What a caller may see at most: hits of these hosts and of these links.  None: any."""

    hosts: frozenset[str] | None = None
    links: frozenset[str] | None = None


EVERYTHING = Narrowing()


class _Told(NamedTuple):
    negated: bool
    prefix: bool
    value: Value


def read_filters(told: Mapping[str, Sequence[str]]) -> tuple[Filter, ...]:
    """Return the filters in *told*, or refuse naming the parameter and what it accepts."""
    if sum(map(len, told.values())) > VALUES_MAX:
        msg = f"filters: at most {VALUES_MAX} values in one question"
        raise RejectedError(msg)
    found = [each for name in told for each in _of_field(name, told[name])]
    if len(found) > FILTERS_MAX:
        msg = f"filters: at most {FILTERS_MAX} in one question"
        raise RejectedError(msg)
    return tuple(found)


def _of_field(name: str, given: Sequence[str]) -> list[Filter]:
    if name not in NAMES:
        msg = f"{name[:64]!r}: unknown; accepted are {', '.join(NAMES)}"
        raise RejectedError(msg)
    if name == BOTS:
        return _bots(given)
    kinds: dict[tuple[bool, bool], list[Value]] = {}
    for told in (_told(name, text) for text in given):
        kinds.setdefault((told.negated, told.prefix), []).append(told.value)
    return [
        Filter(name, tuple(dict.fromkeys(values)), negated, prefix)
        for (negated, prefix), values in kinds.items()
    ]


def _bots(given: Sequence[str]) -> list[Filter]:
    if len(given) != 1 or given[0] not in CHOICES:
        msg = f"{BOTS}: want one of {', '.join(CHOICES)}"
        raise RejectedError(msg)
    if given[0] == CHOICES[0]:
        return []
    return [Filter(BOTS, (HUMAN_CLASS,), negated=given[0] == "only")]


def _told(name: str, text: str) -> _Told:
    negated = text.startswith("!")
    text = text[1:] if negated else text
    if not text:
        if name == URL:
            raise _no_url()
        return _Told(negated, prefix=False, value=None)
    if name not in PREFIXED:
        return _Told(negated, prefix=False, value=_READERS.get(name, _text)(name, text))
    prefix = text.endswith("*") and not text.endswith("\\*")
    if prefix:
        text = text[:-1]
    elif text.endswith("\\*"):
        text = f"{text[:-2]}*"
    if not text:
        msg = f"{name}: want a text before the *"
        raise RejectedError(msg)
    value = _text(name, text)
    return _Told(negated, prefix, _url(value, prefix=prefix) if name == URL else value)


def _text(name: str, text: str) -> str:
    value = text.removeprefix("\\")
    if len(value) > TEXT_CHARS_MAX or not is_text(value):
        msg = f"{name}: want a text of at most {TEXT_CHARS_MAX} characters"
        raise RejectedError(msg)
    return value


def is_text(value: str) -> bool:
    """Tell whether *value* could be stored: a query can hold half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _url(text: str, *, prefix: bool) -> str:
    """Return host and path; a host alone is asked for its root."""
    rest = re.sub(r"\Ahttps?://", "", text, flags=re.IGNORECASE)
    if not rest or rest.startswith("/"):
        raise _no_url()
    return rest if prefix or "/" in rest else f"{rest}/"


def _no_url() -> RejectedError:
    return RejectedError(f"{URL}: want host and path, such as go.example/a?n=1, or go.example/a*")


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        msg = f"{name}: want a whole number"
        raise RejectedError(msg)
    return int(text)


def _truth(name: str, text: str) -> int:
    if text not in TRUTHS:
        msg = f"{name}: want {' or '.join(TRUTHS)}"
        raise RejectedError(msg)
    return TRUTHS[text]


def _visitor(name: str, text: str) -> bytes:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * HASH_BYTES}}}", text):
        msg = f"{name}: want {2 * HASH_BYTES} hex digits"
        raise RejectedError(msg)
    return bytes.fromhex(text)


_READERS: Mapping[str, Callable[[str, str], Value]] = {
    **dict.fromkeys(INTEGERS, _integer),
    "opt_out": _truth,
    "visitor": _visitor,
}
