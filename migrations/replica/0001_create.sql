-- replica 0 -> 1: the first release's shape.
--
-- Never edited after a release: what changes is a step of its own.
-- An edge's copy of the links, kept true by the feed.  Written by the edge alone,
-- each change in one transaction with its position.
CREATE TABLE feed (             -- one row once the first snapshot is in
    history    TEXT    NOT NULL,  -- which registry history the position belongs to
    position   INTEGER NOT NULL
) STRICT;

CREATE TABLE link (             -- ordered by place: a visit's link is found by one search
    id          TEXT    NOT NULL UNIQUE,
    host        TEXT    NOT NULL,  -- '*': every host
    path        TEXT    NOT NULL,  -- with a '*' at its end: a pattern
    destination TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    enabled     INTEGER NOT NULL,
    pass_query  INTEGER NOT NULL,
    expires_ms  INTEGER,           -- NULL: never
    rules       TEXT,              -- JSON, in the order in which they decide; NULL: none
    PRIMARY KEY (host, path)
) STRICT, WITHOUT ROWID;

-- The parts of a snapshot until its last one is there.  Nobody looks for links here.
CREATE TABLE arriving (
    id          TEXT    NOT NULL UNIQUE,
    host        TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    enabled     INTEGER NOT NULL,
    pass_query  INTEGER NOT NULL,
    expires_ms  INTEGER,
    rules       TEXT,
    PRIMARY KEY (host, path)
) STRICT, WITHOUT ROWID;
