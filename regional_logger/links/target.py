"""Where a link leads one visit.

Rules of this file:
- Pure.
- What comes from the visit goes into the destination byte for byte.
"""

from milepost.links import WILDCARD, Link


def target_of(link: Link, path: str, query: str) -> str:
    """Return where *link* leads a visit to *path* with *query*."""
    target = link.destination
    if link.is_pattern and target.endswith(WILDCARD):
        target = target[:-1] + path[len(link.path) - 1 :]
    return _with_query(target, query) if link.pass_query and query else target


def _with_query(target: str, query: str) -> str:
    before, hash_sign, fragment = target.partition("#")
    joint = "&" if "?" in before else "?"
    if before.endswith(("?", "&")):
        joint = ""
    return f"{before}{joint}{query}{hash_sign}{fragment}"
