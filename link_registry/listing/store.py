"""The SQL of lists, and of the link that answers a visit.  Nothing here writes.

A list that no index serves reads every link: 100,000 of them take some tens of
milliseconds, on a connection of its own that holds up no change.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from link_registry.changing.store import COLUMNS, entry_of
from link_registry.entries import Entry
from link_registry.listing.question import Question
from link_registry.paging import Place
from milepost.database import Readers
from milepost.finding.places import answering, names_of, patterns_over
from milepost.finding.radix import Patterns
from milepost.links import Link
from milepost.tokens import Principal
from milepost.vocabulary import Millis

PAGE = f"SELECT {COLUMNS} FROM link WHERE {{where}} ORDER BY {{order}} LIMIT ?"

# All that may answer one visit: a few places on each of at most three hosts.
MAY_ANSWER = f"""
    SELECT {COLUMNS} FROM link
     WHERE host IN (SELECT value FROM json_each(?)) AND path IN (SELECT value FROM json_each(?))
"""

HOSTS = "SELECT host, count(*) FROM link WHERE {where} GROUP BY host ORDER BY host LIMIT ?"

CHANGES = """
    SELECT version, action, at_ms, who, fields FROM history
     WHERE link = ? AND version > ? ORDER BY version LIMIT ?
"""

SORTED_BY = {
    "created": "created_ms",
    "updated": "updated_ms",
    "host": "host",
    "path": "path",
    "destination": "destination",
}

Clause = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Changed:
    """One row of a link's history."""

    version: int
    action: str
    at_ms: Millis
    who: str
    fields: list[dict[str, Any]]


class Listing:
    """Reads many rows, page by page."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def links(
        self, question: Question, after: Place | None, limit: int, now: Millis
    ) -> list[Entry]:
        """Return the links that *question* asks for, from the one behind *after* on."""
        # The + keeps the index on the column out where most that it leads to would be left out
        # again: ids are random, and following it to each link is ten times slower than reading all.
        column = f"{'+' * question.reads_all()}{SORTED_BY[question.sort]}"
        direction = "DESC" if question.descending else "ASC"
        clauses = [("1", ()), *_clauses(question, now)]
        if after is not None:
            sign = "<" if question.descending else ">"
            clauses.append((f"({column}, id) {sign} (?, ?)", after))
        sql = PAGE.format(
            where=" AND ".join(clause for clause, _ in clauses),
            order=f"{column} {direction}, id {direction}",
        )
        values = [value for _, given in clauses for value in given]
        return [entry_of(row) for row in await self._readers.rows(sql, (*values, limit))]

    async def answering(self, host: str, path: str) -> Entry | None:
        """Return the link that answers a visit, as the edges choose it.

        Where no link would redirect, it is the disabled one that would if it were enabled.
        """
        paths = orjson.dumps([path, *patterns_over(path)]).decode()
        hosts = orjson.dumps(names_of(host)).decode()
        rows = await self._readers.rows(MAY_ANSWER, (hosts, paths))
        found = {entry.link.id: entry for entry in map(entry_of, rows)}
        links = [entry.link for entry in found.values()]
        enabled = [link for link in links if link.enabled]
        link = _chosen(host, path, enabled) or _chosen(host, path, links)
        return None if link is None else found[link.id]

    async def hosts(self, who: Principal, after: str, limit: int) -> list[tuple[str, int]]:
        """Return each host, and how many links it has that *who* sees."""
        clauses = [("host > ?", (after,)), *_seen(tuple(who.hosts), tuple(who.tags))]
        sql = HOSTS.format(where=" AND ".join(clause for clause, _ in clauses))
        values = [value for _, given in clauses for value in given]
        return [(host, links) for host, links in await self._readers.rows(sql, (*values, limit))]

    async def changes(self, link_id: str, after: int, limit: int) -> list[Changed]:
        """Return what was done to a link, also to one that is gone, the oldest first."""
        rows = await self._readers.rows(CHANGES, (link_id, after, limit))
        return [
            Changed(version, action, at_ms, who, orjson.loads(fields))
            for version, action, at_ms, who, fields in rows
        ]


def _chosen(host: str, path: str, links: list[Link]) -> Link | None:
    patterns = Patterns()
    for link in links:
        if link.is_pattern:
            patterns.put(link)
    literals = {(link.host, link.path): link for link in links if not link.is_pattern}
    return answering(host, path, literals.get, patterns)


def place_in(question: Question, entry: Entry) -> Place:
    """Return where *entry* stands in the list of *question*."""
    by: dict[str, str | int] = {
        "created": entry.created_ms,
        "updated": entry.updated_ms,
        "host": entry.link.host,
        "path": entry.link.path,
        "destination": entry.link.destination,
    }
    return by[question.sort], entry.link.id


def _clauses(asked: Question, now: Millis) -> list[Clause]:
    found: list[Clause] = _seen(asked.seen_hosts, asked.seen_tags)
    if asked.host is not None:
        found.append(("host = ?", (asked.host,)))
    if asked.path_prefix is not None:  # every character of a path comes before the last of ASCII
        found.append(("path >= ? AND path < ?", (asked.path_prefix, f"{asked.path_prefix}\x7f")))
    found += [("instr(tags, ?) > 0", (orjson.dumps(tag).decode(),)) for tag in asked.tags]
    if asked.enabled is not None:
        found.append(("enabled = ?", (int(asked.enabled),)))
    if asked.destination_host is not None:
        name = asked.destination_host
        sql = "(leads_to = ? OR (leads_to > ? AND leads_to < ?))"
        found.append((sql, (name, f"{name}:", f"{name};")))
    if asked.expired is not None:
        sql = "coalesce(expires_ms <= ?, 0) = ?"
        found.append((sql, (now, int(asked.expired))))
    if asked.pattern is not None:
        found.append(("(substr(path, -1) = '*') = ?", (int(asked.pattern),)))
    if asked.search is not None:
        found.append(_search(asked.search))
    return found


def _seen(hosts: tuple[str, ...], tags: tuple[str, ...]) -> list[Clause]:
    """Return what holds for the links that are seen, as link_registry.narrowing has it."""
    found: list[Clause] = []
    if hosts:
        found.append((f"host IN ({', '.join('?' * len(hosts))})", hosts))
    if tags:
        sql = " OR ".join(["instr(tags, ?) > 0"] * len(tags))
        found.append((f"({sql})", tuple(orjson.dumps(tag).decode() for tag in tags)))
    return found


def _search(text: str) -> Clause:
    columns = ["path", "destination", "note"]
    if not set(text) & set('[]",'):  # what holds the list of tags together is no part of one
        columns.append("tags")
    quoted = "".join(f"\\{char}" if char in "\\%_" else char for char in text)
    sql = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    return f"({sql})", (f"%{quoted}%",) * len(columns)
