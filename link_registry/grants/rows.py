"""A grant as rows of the database, and back.

Rules of this file:
- Pure.
"""

from typing import Any

import orjson

from link_registry.grants.rules import Cleanup, Grant, Place
from milepost.vocabulary import GrantId, LinkId


def row_of(grant: Grant) -> tuple[str | int | None, ...]:
    """Return *grant* as a row, in the order in which one is inserted."""
    link = (grant.link, int(grant.made), grant.link_expires_ms)
    moments = (grant.created_ms, grant.ends_ms, grant.ended_ms)
    metadata = orjson.dumps(grant.metadata).decode()
    abandoned = (grant.abandoned_ms, grant.abandoned_by)
    kept = (grant.id, grant.owner, int(grant.exclusive))
    return (*kept, *link, metadata, *moments, grant.who, *abandoned)


def grant_of(row: Any) -> Grant:
    """Return a row with its link and its cleanups as a grant."""
    grant_id, owner, exclusive, link, made, link_expires_ms, metadata = row[:7]
    created_ms, ends_ms, ended_ms, who, abandoned_ms, abandoned_by = row[7:13]
    host, path, destination, cleanups = row[13:]
    return Grant(
        id=GrantId(grant_id),
        owner=owner,
        exclusive=bool(exclusive),
        link=LinkId(link),
        made=bool(made),
        link_expires_ms=link_expires_ms,
        metadata=orjson.loads(metadata),
        created_ms=created_ms,
        ends_ms=ends_ms,
        ended_ms=ended_ms,
        who=who,
        abandoned_ms=abandoned_ms,
        abandoned_by=abandoned_by,
        place=None if path is None else Place(host, path, destination),
        cleanups=tuple(
            Cleanup(id=name, due_ms=due, done_ms=done, failures=failures, reason=reason)
            for name, due, done, failures, reason in orjson.loads(cleanups)
        ),
    )
