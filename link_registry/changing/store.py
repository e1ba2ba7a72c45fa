"""The SQL that changes links, within a transaction that somebody else has begun.

Whoever changes a link does it here: one by one, in bulk, or for a grant.  So each is
held to the same rules, and leaves the same behind.  A change of what edges need goes
into the feed; every change goes into the history.

A change is refused before anything of it has happened.
"""

from dataclasses import replace
from typing import Any

import orjson

from link_registry.entries import Entry, differences
from link_registry.own_hosts import canonical, leads_to, spellings
from link_registry.policy import NOT_OURS, destinations
from milepost.errors import ConflictError, FieldError
from milepost.links import ANY_HOST, Link
from milepost.sqlite import Connection
from milepost.targeting.rules import rules_in, text_of
from milepost.vocabulary import LinkId, Millis

COLUMNS = """
    id, host, path, destination, status, enabled, pass_query, expires_ms, version, created_ms,
    updated_ms, rules, tags, note, click_limit, clicks
"""

INSERT = """
    INSERT INTO link (id, host, path, destination, status, enabled, pass_query, expires_ms,
                      version, created_ms, updated_ms, rules, leads_to, tags, note,
                      click_limit)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE = """
    UPDATE link
       SET host = ?, path = ?, destination = ?, status = ?, enabled = ?,
           pass_query = ?, expires_ms = ?, version = ?, created_ms = ?, updated_ms = ?,
           rules = ?, leads_to = ?, tags = ?, note = ?, click_limit = ?
     WHERE id = ?
"""

DELETE = "DELETE FROM link WHERE id = ?"

BY_ID = f"SELECT {COLUMNS} FROM link WHERE id = ?"

BY_PLACE = "SELECT id FROM link WHERE host = ? AND path = ? AND id <> ?"

PATH_IN_USE = "SELECT 1 FROM link WHERE path = ? AND (host IN (?, '*') OR ? = '*') LIMIT 1"

HOST_IN_USE = "SELECT 1 FROM link WHERE host IN (?, ?, ?) LIMIT 1"

LEADS_THERE = """
    SELECT id FROM link
     WHERE (leads_to = ?1 OR (leads_to > ?1 || ':' AND leads_to < ?1 || ';')) AND id <> ?2
     UNION ALL
    SELECT link FROM rule_leads_to
     WHERE (leads_to = ?1 OR (leads_to > ?1 || ':' AND leads_to < ?1 || ';')) AND link <> ?2
     LIMIT 1
"""

RULES_LEAD = "INSERT INTO rule_leads_to (leads_to, link) VALUES (?, ?)"

RULES_LEAD_NOWHERE = "DELETE FROM rule_leads_to WHERE link = ?"

# The position follows that of the newest change, which is never deleted.
REMEMBER = """
    INSERT INTO change (action, link, rule, at_ms) VALUES (?, ?, ?, ?)
"""

NOTE_DOWN = """
    INSERT INTO history (link, version, action, at_ms, who, fields) VALUES (?, ?, ?, ?, ?, ?)
"""


def add_link(db: Connection, entry: Entry, who: str) -> None:
    """Add *entry* and tell the feed, or refuse because of where it is, or of where it leads."""
    _refuse_taken(db, entry.link)
    _refuse_circles(db, entry.link)
    db.execute(INSERT, row_of(entry))
    _note_rules(db, None, entry.link)
    _remember(db, None, entry, entry.created_ms, who)


def replace_link(db: Connection, old: Entry, new: Entry, who: str) -> None:
    """Put *new* in the place of *old* and tell the feed, or refuse as above."""
    if _place(new.link) != _place(old.link):
        _refuse_taken(db, new.link)
    # What was allowed once stays as it is until somebody touches it.
    if _leads(new.link) != _leads(old.link):
        _refuse_circles(db, new.link)
    db.execute(UPDATE, (*row_of(new)[1:], new.link.id))
    _note_rules(db, old.link, new.link)
    _remember(db, old, new, new.updated_ms, who)


def remove_link(db: Connection, old: Entry, now: Millis, who: str) -> None:
    """Take *old* away and tell the feed."""
    db.execute(DELETE, (old.link.id,))
    _note_rules(db, old.link, None)
    _remember(db, old, None, now, who)


def path_in_use(db: Connection, link: Link) -> bool:
    """Tell whether somebody uses the path of *link* where it would be seen."""
    return db.execute(PATH_IN_USE, (link.path, link.host, link.host)).fetchone() is not None


def link_with_id(db: Connection, link_id: str) -> Entry | None:
    """Return the link, if it is there."""
    row = db.execute(BY_ID, (link_id,)).fetchone()
    return entry_of(row) if row else None


def link_at(db: Connection, host: str, path: str) -> Entry | None:
    """Return the link of exactly this host and path, if there is one."""
    row = db.execute(BY_PLACE, (host, path, "")).fetchone()
    return link_with_id(db, row[0]) if row else None


def _refuse_taken(db: Connection, link: Link) -> None:
    taken = db.execute(BY_PLACE, (link.host, link.path, link.id)).fetchone()
    if taken:
        msg = f"path: {link.path} on host {link.host} is taken by the link {taken[0]}"
        raise ConflictError(msg)


def _refuse_circles(db: Connection, link: Link) -> None:
    """Refuse a link that leads to a host of links, or is of a host that links lead to."""
    hosts: dict[str, str] = {}
    for field, to in destinations(link):
        hosts.setdefault(leads_to(to), field)
    hosts.pop("", None)  # what is not of the web
    for name, field in hosts.items():
        ours = spellings(name)
        if link.host in ours or db.execute(HOST_IN_USE, (ours[0], ours[1], ours[-1])).fetchone():
            raise FieldError(field=field, accepted=NOT_OURS, got="a host that links are on")
    if link.host == ANY_HOST:
        return
    there = db.execute(LEADS_THERE, (canonical(link.host), link.id)).fetchone()
    if there:
        msg = f"host: the link {there[0]} leads to {link.host}, and would lead back to this service"
        raise ConflictError(msg)


def _note_rules(db: Connection, old: Link | None, new: Link | None) -> None:
    """Keep where the rules of *new* lead, which was *old*; most links have none, and cost nothing.

    A link's own destination stands in its row.
    """
    before, now = (link.rules if link else () for link in (old, new))
    if before == now:
        return
    if old is not None and before:
        db.execute(RULES_LEAD_NOWHERE, (old.id,))
    if new is not None and now:
        by_rules = destinations(replace(new, destination=""))
        hosts = {leads_to(to) for _field, to in by_rules} - {""}
        db.executemany(RULES_LEAD, ((host, new.id) for host in sorted(hosts)))


def _place(link: Link) -> tuple[str, str]:
    return link.host, link.path


def _leads(link: Link) -> tuple[str, tuple[tuple[str, str], ...]]:
    return link.host, tuple(destinations(link))


def _remember(
    db: Connection, old: Entry | None, new: Entry | None, at_ms: Millis, who: str
) -> None:
    """Keep that *old* became *new*; None is a link that is not there."""
    entry = new or old
    if entry is None:
        return
    action = "create" if old is None else "delete" if new is None else "update"
    if old is None or new is None or old.link != new.link:
        rule = orjson.dumps(entry.link.to_rule()).decode()
        db.execute(REMEMBER, (action, entry.link.id, rule, at_ms))
    version = entry.version if new else entry.version + 1
    fields = orjson.dumps(differences(old, new)).decode()
    db.execute(NOTE_DOWN, (entry.link.id, version, action, at_ms, who, fields))


def row_of(entry: Entry) -> tuple[str | int | None, ...]:
    """Return *entry* as a row, in the order of `INSERT`."""
    link = entry.link
    place = (link.id, link.host, link.path, link.destination, link.status, int(link.enabled))
    more = (int(link.pass_query), link.expires_ms)
    kept = (entry.version, entry.created_ms, entry.updated_ms)
    written = (orjson.dumps(entry.tags).decode(), entry.note, entry.click_limit)
    return (*place, *more, *kept, text_of(link.rules), leads_to(link.destination), *written)


def entry_of(row: Any) -> Entry:
    """Return a row of `COLUMNS` as an entry."""
    link_id, host, path, destination, status, enabled, pass_query, expires_ms = row[:8]
    version, created_ms, updated_ms, rules, tags, note, click_limit, clicks = row[8:]
    link = Link(
        id=LinkId(link_id),
        host=host,
        path=path,
        destination=destination,
        status=status,
        enabled=bool(enabled),
        pass_query=bool(pass_query),
        expires_ms=expires_ms,
        rules=rules_in(rules),
    )
    return Entry(
        link=link,
        version=version,
        created_ms=created_ms,
        updated_ms=updated_ms,
        tags=tuple(orjson.loads(tags)),
        note=note,
        click_limit=click_limit,
        clicks=clicks,
    )
