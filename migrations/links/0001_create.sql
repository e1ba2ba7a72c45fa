-- links 0 -> 1: the first release's shape.
--
-- Never edited after a release: what changes is a step of its own.
-- The registry's links, and every change that was ever made to them.  Written by
-- the registry alone; a change stands in the transaction of the link it changes.
CREATE TABLE meta (             -- one row, written when the file is made
    history    TEXT    NOT NULL CHECK (length(history) = 32), -- random; another at each start
    holder     BLOB    NOT NULL   -- the process that took it last: no other may write
) STRICT;

-- The histories that the present one goes on from, and how far each of them got.  A copy
-- that was set back says so: what edges were told beyond its end is no part of it.
CREATE TABLE earlier (          -- ordered by when they ended
    number     INTEGER PRIMARY KEY,
    history    TEXT    NOT NULL UNIQUE,
    position   INTEGER NOT NULL   -- the last one that belongs to it, or to one before it
) STRICT;

CREATE TABLE link (             -- in the order in which they were made: ids are random
    id          TEXT    NOT NULL PRIMARY KEY,
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
    rules       TEXT,              -- JSON, in the order in which they decide; NULL: none
    -- What follows stays in the registry: no edge hears of it.
    leads_to    TEXT    NOT NULL,  -- host of the destination as it is compared, with its port
    tags        TEXT    NOT NULL,  -- JSON list; no tag has a character that JSON escapes
    note        TEXT,              -- NULL: none
    click_limit INTEGER,           -- NULL: none
    clicks      INTEGER NOT NULL DEFAULT 0,  -- the most that was ever counted; makes no version
    UNIQUE (host, path)
) STRICT;

CREATE INDEX link_path ON link (path, id);
CREATE INDEX link_leads_to ON link (leads_to);
CREATE TABLE rule_leads_to (    -- the same of a link's rules; a link without rules has no row
    leads_to TEXT NOT NULL,
    link     TEXT NOT NULL,
    PRIMARY KEY (leads_to, link)
) STRICT, WITHOUT ROWID;
CREATE INDEX rule_leads_to_link ON rule_leads_to (link);
CREATE INDEX link_created ON link (created_ms, id);
CREATE INDEX link_limited ON link (id) WHERE click_limit IS NOT NULL AND enabled = 1;

-- What people did to a link, for as long as there is this database: also when it is deleted.
CREATE TABLE history (          -- in the order in which it was written
    link       TEXT    NOT NULL,
    version    INTEGER NOT NULL,   -- that the link had afterwards; a deletion counts as one
    action     TEXT    NOT NULL CHECK (action IN ('create', 'update', 'delete')),
    at_ms      INTEGER NOT NULL,
    who        TEXT    NOT NULL,   -- name of the token that made the change
    fields     TEXT    NOT NULL,   -- JSON: [{"field", "before", "after"}]
    PRIMARY KEY (link, version)
) STRICT;
CREATE INDEX history_at ON history (at_ms);

CREATE TABLE change (           -- what edges need; never updated, and the newest row is never deleted
    position   INTEGER PRIMARY KEY,  -- 1, 2, 3 without gaps; what the edges count by
    action     TEXT    NOT NULL CHECK (action IN ('create', 'update', 'delete')),
    link       TEXT    NOT NULL,
    rule       TEXT    NOT NULL,     -- JSON, as the feed carries it
    at_ms      INTEGER NOT NULL
) STRICT;

-- Grants: links with an owner and an end.  Whatever has to be cleaned up stands here
-- before anybody is called, and a grant's rows go when the last of it is done, or
-- a while after somebody has abandoned it.
CREATE TABLE link_grant (
    id              TEXT    PRIMARY KEY,
    owner           TEXT    NOT NULL,
    exclusive       INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
    link            TEXT    NOT NULL,  -- stays when the link has gone
    made            INTEGER NOT NULL CHECK (made IN (0, 1)),  -- 1: the link goes with the grant
    link_expires_ms INTEGER,           -- of a link that was there before: the end of its own
    metadata        TEXT    NOT NULL,  -- JSON, an object
    created_ms      INTEGER NOT NULL,
    ends_ms         INTEGER NOT NULL,
    ended_ms        INTEGER,           -- NULL: not yet
    who             TEXT    NOT NULL,  -- name of the token that made it
    abandoned_ms    INTEGER,           -- NULL: what is left is to be cleaned up
    abandoned_by    TEXT               -- name of the token; NULL: nobody
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX link_grant_exclusive ON link_grant (owner)
    WHERE exclusive = 1 AND ended_ms IS NULL;
CREATE UNIQUE INDEX link_grant_link ON link_grant (link) WHERE ended_ms IS NULL;
CREATE INDEX link_grant_ends ON link_grant (ends_ms) WHERE ended_ms IS NULL;
CREATE INDEX link_grant_abandoned ON link_grant (abandoned_ms) WHERE abandoned_ms IS NOT NULL;
CREATE INDEX link_grant_owner ON link_grant (owner, id);

CREATE TABLE cleanup (
    link_grant TEXT    NOT NULL REFERENCES link_grant (id),
    id         TEXT    NOT NULL,  -- what the backend is told to delete
    place      INTEGER NOT NULL,  -- in the order in which they were given
    due_ms     INTEGER,           -- NULL: the grant has not ended, or this one is done or abandoned
    done_ms    INTEGER,
    failures   INTEGER NOT NULL DEFAULT 0,  -- runs in which every try failed
    reason     TEXT    NOT NULL DEFAULT '',  -- of the last failure
    PRIMARY KEY (link_grant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cleanup_due ON cleanup (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE call (             -- a call that named a key, for a day
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT    NOT NULL,    -- as in the table of calls
    who    TEXT    NOT NULL,    -- name of the token that made it
    key    TEXT    NOT NULL,
    digest BLOB    NOT NULL,    -- of its body
    at_ms  INTEGER NOT NULL,
    UNIQUE (name, who, key)
) STRICT;

CREATE TABLE call_part (        -- written with what it tells of: a call that was cut goes on behind it
    call   INTEGER NOT NULL REFERENCES call (number) ON DELETE CASCADE,
    upto   INTEGER NOT NULL,    -- how far the call is done with it
    answer BLOB    NOT NULL,    -- compressed
    PRIMARY KEY (call, upto)
) STRICT, WITHOUT ROWID;

-- Tokens that are kept here, besides those of the tokens file; never the token itself.
CREATE TABLE token (
    name       TEXT    PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes     TEXT    NOT NULL,     -- JSON list, as the next two are
    hosts      TEXT    NOT NULL,     -- it sees nothing of others; empty: it sees all
    tags       TEXT    NOT NULL,     -- nor of links with none of these; empty: of all
    rate       INTEGER NOT NULL,     -- calls a minute
    created_ms INTEGER NOT NULL,
    created_by TEXT    NOT NULL,     -- name of the token that it was made with
    expires_ms INTEGER,              -- NULL: never
    revoked_ms INTEGER,              -- NULL: it is not
    used_day   INTEGER               -- the last day of use, counted from 1970; NULL: none yet
) STRICT, WITHOUT ROWID;
