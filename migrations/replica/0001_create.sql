-- replica 0 -> 1: the first release's shape.
--
-- Never edited after a release: what changes is a step of its own.
-- An edge's copy of the links, kept true by the feed.  Written by the edge alone,
-- each change in one transaction with its position.
CREATE TABLE feed (             -- one row once the first snapshot is in
    history    TEXT    NOT NULL,  -- which registry history the position belongs to
    position   INTEGER NOT NULL
) STRICT;

CREATE TABLE link (
    id          TEXT    PRIMARY KEY,
    host        TEXT    NOT NULL,  -- '*': every host
    path        TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    enabled     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
