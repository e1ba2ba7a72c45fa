-- links 0 -> 1: the first release's shape.
--
-- Never edited after a release: what changes is a step of its own.
-- The registry's links, and every change that was ever made to them.  Written by
-- the registry alone; a change stands in the transaction of the link it changes.
CREATE TABLE meta (             -- one row, written when the file is made
    history    TEXT    NOT NULL CHECK (length(history) = 32), -- random; another after a restore
    holder     BLOB    NOT NULL   -- the process that took it last: no other may write
) STRICT;

CREATE TABLE link (
    id          TEXT    PRIMARY KEY,
    host        TEXT    NOT NULL,  -- '*': every host
    path        TEXT    NOT NULL,  -- with a '*' at its end: a pattern
    destination TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    enabled     INTEGER NOT NULL,
    pass_query  INTEGER NOT NULL,
    expires_ms  INTEGER,           -- NULL: never
    version     INTEGER NOT NULL,  -- 1, and one more with each change
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL,
    UNIQUE (host, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (           -- never updated; the newest row is never deleted
    position   INTEGER PRIMARY KEY,  -- 1, 2, 3 without gaps; what the edges count by
    action     TEXT    NOT NULL CHECK (action IN ('create', 'update', 'delete')),
    link       TEXT    NOT NULL,
    rule       TEXT    NOT NULL,     -- JSON, as the feed carries it
    at_ms      INTEGER NOT NULL,
    who        TEXT    NOT NULL      -- name of the token that made the change
) STRICT;

CREATE TABLE call (             -- a bulk call that named a key, for a day
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    who    TEXT    NOT NULL,    -- name of the token that made it
    key    TEXT    NOT NULL,
    digest BLOB    NOT NULL,    -- of its body
    answer BLOB    NOT NULL,    -- compressed
    at_ms  INTEGER NOT NULL,
    UNIQUE (who, key)
) STRICT;
