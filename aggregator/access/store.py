"""The SQL of a narrowing: conditions on a row of `hit`."""

import orjson

from aggregator.access.narrowing import Narrowing

# The ids of the names, once for each question: a row then costs a look into a short list.
ONE_OF = """
    {column} IN (SELECT id FROM text WHERE value IN (SELECT value FROM json_each(?)))
"""


def conditions(narrowing: Narrowing) -> tuple[list[str], list[str]]:
    """Return what has to hold for a hit that is seen, to be joined by AND, and the values."""
    found = [
        (ONE_OF.format(column=column), orjson.dumps(sorted(values)).decode())
        for column, values in (("hit.host", narrowing.hosts), ("hit.link", narrowing.links))
        if values is not None
    ]
    return [condition for condition, _ in found], [value for _, value in found]
