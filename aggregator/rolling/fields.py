"""What hits are told apart by: fields and dimensions, and the numbers they are stored under.

A number is for good: new names are added at the end.
"""

from collections.abc import Iterable, Mapping

from aggregator.hits.store import INTERNED

# Worked out from the user agent or the referer, and kept once for each distinct one.
DERIVED = ("device", "os", "browser", "class", "referrer")

# Every field by which hits are looked for in blocks.  Visitor, session and ulid are not here:
# they have indexes of their own, for nearly every hit has another one.
FIELDS = (
    *("kind", "method", "host", "path", "target", "region", "link", "variant", "country"),
    *("subdivision", "agent", "referer", "source", "source_kind", "range", "language"),
    *("arguments", "cut", "oddity", "status", "asn", "opt_out", *DERIVED),
)
FIELD_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(FIELDS)}

# By which clicks are counted.  The total is counted by nothing: its only value is ABSENT.
TOTAL = "total"
DIMENSIONS = (
    *(TOTAL, "link", "region", "country", "referrer", "source", "device", "os", "browser"),
    *("class", "status", "variant", "kind", "host"),
)
DIMENSION_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(DIMENSIONS)}

ABSENT = 0  # stands for a value that is not there: no text has this id

# In postings, where 0 is a value like any other: a hit of the block has none.
MISSING = -1

NUMBERS = frozenset({"status", "asn", "opt_out"})  # these stand for themselves, not for a text

FROM_HIT = """hit
      LEFT JOIN agent_class ON agent_class.agent = coalesce(hit.agent, 0)
      LEFT JOIN referrer ON referrer.referer = hit.referer"""

# A click: somebody asked for a page and was sent on.  HEAD only looks.
CLICK = """
    (hit.status IN (301, 302, 303, 307, 308)
     AND hit.method = (SELECT id FROM text WHERE value = 'GET'))
"""
HUMAN = "(agent_class.class = (SELECT id FROM text WHERE value = 'human'))"


def expression(name: str) -> str:
    """Return the SQL of field or dimension *name* over FROM_HIT."""
    if name == TOTAL:
        return str(ABSENT)
    if name == "referrer":
        return "referrer.host"
    return f"agent_class.{name}" if name in DERIVED else f"hit.{name}"


def expressions(names: Iterable[str]) -> str:
    """Return the SQL of several, as columns."""
    return ", ".join(map(expression, names))


assert set(INTERNED) <= set(FIELDS)  # noqa: S101 - a field of hits that nobody could look for
