-- The newest shape of every Milepost database, one section each.
-- A section opens with its name, its version and its application id.

-- @schema stream 1 0x4D500001
-- One append-only file of batches, created and written by one process life and
-- by nobody after it.  Never migrated.  What it holds can be read by nobody but
-- a holder of the epoch's record key; the columns beside the boxes say how much
-- there is, and when.
CREATE TABLE stream (           -- one row, written when the file is made
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    life       BLOB    NOT NULL CHECK (length(life) = 16),
    worker     INTEGER NOT NULL,
    region     TEXT    NOT NULL,
    machine    TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    version    TEXT    NOT NULL  -- of the program that made the file
) STRICT;

CREATE TABLE batch (
    seq        INTEGER PRIMARY KEY,  -- 1, 2, 3 without gaps
    batch      BLOB    NOT NULL CHECK (length(batch) = 16),
    count      INTEGER NOT NULL,     -- records in the box; 0: the batch brings a tally only
    epoch      INTEGER NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) IN (0, 8)),
    first_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    tally      TEXT    NOT NULL,     -- [[hour_ms, recorded, late, shed, excluded], …]
    records    BLOB    NOT NULL,     -- sealed to the epoch's record key
    addresses  BLOB    NOT NULL,     -- sealed to the epoch's address key; empty: none
    chain      BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;

-- For people with `sqlite3 -readonly`.
CREATE VIEW batches AS
SELECT seq, count,
       strftime('%Y-%m-%dT%H:%M:%fZ', first_ms / 1000.0, 'unixepoch') AS first_time,
       strftime('%Y-%m-%dT%H:%M:%fZ', last_ms / 1000.0, 'unixepoch') AS last_time,
       epoch, hex(key) AS key,
       length(records) + length(addresses) AS bytes
  FROM batch;

CREATE VIEW hours AS
SELECT strftime('%Y-%m-%dT%H:00Z', json_extract(value, '$[0]') / 1000, 'unixepoch') AS hour,
       sum(json_extract(value, '$[1]')) AS recorded,
       sum(json_extract(value, '$[2]')) AS late,
       sum(json_extract(value, '$[3]')) AS shed,
       sum(json_extract(value, '$[4]')) AS excluded
  FROM batch, json_each(batch.tally)
 GROUP BY 1;

-- @schema replica 1 0x4D500002
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

-- @schema keys 1 0x4D500003
-- The key server's identity and epochs.  Every secret is wrapped under the master
-- key, bound to its epoch and purpose.  Never replicated and never snapshotted: a
-- copy that outlives a destruction would undo it.
CREATE TABLE meta (             -- one row, written by `milepost keys init`
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    identity     BLOB    NOT NULL CHECK (length(identity) = 32),      -- public
    seed         BLOB    NOT NULL,                                    -- wrapped
    master_check BLOB    NOT NULL CHECK (length(master_check) = 16),  -- names the master key
    list_version INTEGER NOT NULL, -- of the list last signed; only rises
    believed_ms  INTEGER NOT NULL DEFAULT 0, -- the moment that was believed last; 0: none yet
    trail_number INTEGER NOT NULL, -- the audit trail goes on behind this row: 0, or the last one
    trail_chain  BLOB    NOT NULL CHECK (length(trail_chain) = 32)  -- of the copy recovered from
) STRICT;

-- Spans touch: one epoch's end is the next one's start.  The wrapped columns turn
-- NULL when what they hold is destroyed; the row stays, so no number comes twice.
CREATE TABLE epoch (
    number         INTEGER PRIMARY KEY CHECK (number > 0),
    start_ms       INTEGER NOT NULL,
    end_ms         INTEGER NOT NULL CHECK (end_ms > start_ms),
    record_key     BLOB    NOT NULL CHECK (length(record_key) = 32),
    address_key    BLOB    NOT NULL CHECK (length(address_key) = 32),
    record_secret  BLOB,
    address_secret BLOB,
    salt           BLOB,
    salt_gone_ms   INTEGER,         -- when salt and address secret were destroyed
    record_gone_ms INTEGER,         -- when the record secret was
    CHECK ((salt IS NULL) = (salt_gone_ms IS NOT NULL)),
    CHECK ((address_secret IS NULL) = (salt_gone_ms IS NOT NULL)),
    CHECK ((record_secret IS NULL) = (record_gone_ms IS NOT NULL))
) STRICT;

-- What was destroyed, when, and from when on no backup holds it either.
CREATE TABLE receipt (
    number   INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    what     TEXT    NOT NULL CHECK (what IN ('salt', 'record')),
    document TEXT    NOT NULL,      -- signed by the identity
    UNIQUE (epoch, what)
) STRICT;

-- Who asked for what.  Each row is chained to the one before it.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,     -- without gaps, from meta.trail_number on
    at_ms  INTEGER NOT NULL,
    who    TEXT    NOT NULL,        -- name of the token, or of the command
    what   TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,        -- 0: none in particular
    count  INTEGER NOT NULL,        -- how many were asked for, or how often
    chain  BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit table only grows'); END;

CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit table only grows'); END;

-- @schema links 1 0x4D500004
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

-- @schema combined 1 0x4D500005
-- Every region's hits in one place.  Written by the aggregator alone, one
-- transaction per pulled answer: rows, tallies and cursors move together.
CREATE TABLE meta (             -- one row, written when the database is made
    generation INTEGER NOT NULL,  -- milliseconds when it was made or restored
    holder     BLOB    NOT NULL   -- the process that took it last: no other may write
) STRICT;

-- One machine that is pulled from.  Born when it is first known, and kept for ever.
CREATE TABLE source (
    url             TEXT    PRIMARY KEY,
    found_ms        INTEGER NOT NULL, -- when it was first known
    region          TEXT,             -- as it said itself; NULL: it has never answered
    machine         TEXT,
    version         TEXT,
    last_success_ms INTEGER,          -- of the last answer that changed something here
    -- When an answer was asked for that is applied and left no file unread: the newest
    -- but for some seconds, and NULL as long as there was none.
    asked_ms        INTEGER,
    last_error      TEXT,             -- what was wrong when it went; NULL: nothing, or it is known
    gone_ms         INTEGER,          -- when it was found to be gone; NULL: it is known
    abandoned_ms    INTEGER           -- written off by hand then; NULL: it is not
) STRICT, WITHOUT ROWID;

-- One stream, from its first announcement on; kept when its file has been retired.
CREATE TABLE stream (
    stream       BLOB    PRIMARY KEY CHECK (length(stream) = 16),
    source       TEXT    NOT NULL,   -- the url that announced it last
    region       TEXT    NOT NULL,
    life         BLOB    NOT NULL CHECK (length(life) = 16),
    created_ms   INTEGER NOT NULL,
    open         INTEGER NOT NULL,
    present      INTEGER NOT NULL,   -- 0: its source announces it no longer
    seq          INTEGER NOT NULL,   -- the cursor: everything up to here is applied
    chain        BLOB    NOT NULL CHECK (length(chain) = 32),
    records      INTEGER NOT NULL,   -- in the batches up to the cursor
    last_seq     INTEGER NOT NULL,   -- the most that was ever announced
    last_records INTEGER NOT NULL,
    fault        TEXT,               -- why nothing more is taken; NULL: all is well
    file_seq     INTEGER NOT NULL,   -- from here: what its file was last announced to hold
    last_chain   BLOB    NOT NULL CHECK (length(last_chain) = 32),
    file_records INTEGER NOT NULL,
    -- The branch: how far the history is applied that a file has beside the one up to
    -- the cursor.  All NULL: there is none.
    branch_seq     INTEGER,
    branch_chain   BLOB    CHECK (length(branch_chain) = 32),
    branch_records INTEGER,
    branch_source  TEXT,             -- the url whose file has it
    forks        INTEGER NOT NULL DEFAULT 0,  -- how often a branch was begun
    forked_ms    INTEGER,            -- when the last one was; NULL: never
    abandoned_ms INTEGER,            -- when its rest was written off by hand; NULL: it was not
    swept_ms     INTEGER,            -- when its replica was read to its end, after its machine had gone
    retired_ms   INTEGER,            -- when it was first seen to be complete and on no machine
    CHECK ((branch_seq IS NULL) = (branch_chain IS NULL)),
    CHECK ((branch_seq IS NULL) = (branch_records IS NULL)),
    CHECK ((branch_seq IS NULL) = (branch_source IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX stream_by_source ON stream (source, present);
CREATE INDEX stream_by_swept ON stream (swept_ms) WHERE swept_ms IS NOT NULL;
CREATE INDEX stream_by_life ON stream (life);

-- Each life, from when it or one of its streams was first told of.
CREATE TABLE life (
    life       BLOB    PRIMARY KEY CHECK (length(life) = 16),
    source     TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    machine    TEXT    NOT NULL,
    worker     INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    alive      INTEGER NOT NULL,
    present    INTEGER NOT NULL,     -- 0: its source tells of it no longer
    told_ms    INTEGER,              -- when it was last told of, to a minute; NULL: only streams were
    newest_ms  INTEGER NOT NULL,     -- the newest of its records that was applied; 0: none was
    lowered_ms INTEGER               -- the told_ms before its meter first came back lower; NULL: never
) STRICT, WITHOUT ROWID;

CREATE INDEX life_by_machine ON life (region, machine, worker, started_ms);

-- The meter of each life, hour by hour the most that it ever told.
CREATE TABLE meter (
    life     BLOB    NOT NULL,
    hour_ms  INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    shed     INTEGER NOT NULL,
    excluded INTEGER NOT NULL,
    PRIMARY KEY (life, hour_ms)
) STRICT, WITHOUT ROWID;

-- The header of every batch that was applied.  A batch counts once, in whatever
-- stream it comes: that is what the UNIQUE is for.
CREATE TABLE applied (
    -- Rises in the order in which hits become visible; a batch that waited for
    -- its key gets a new one when it is opened, so that nobody reads past it.
    id       INTEGER PRIMARY KEY,
    batch    BLOB    NOT NULL UNIQUE CHECK (length(batch) = 16),
    stream   BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    count    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    tally    TEXT    NOT NULL
) STRICT;

-- Record boxes that are not opened.
CREATE TABLE sealed (
    batch   BLOB    PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    reason  TEXT,               -- why it was set aside; NULL: it waits for its key
    records BLOB    NOT NULL
) STRICT;

CREATE INDEX sealed_by_reason ON sealed (reason, epoch);

-- Single records of opened batches that are no hits: the edge could not encode
-- them, or what they say cannot be told.
CREATE TABLE set_aside_record (
    batch   BLOB    NOT NULL CHECK (length(batch) = 16),
    idx     INTEGER NOT NULL,  -- place in the batch
    reason  TEXT    NOT NULL,
    fields  TEXT    NOT NULL,  -- JSON: what was there, as text, cut
    PRIMARY KEY (batch, idx)
) STRICT, WITHOUT ROWID;

-- Batches that are not what their writer wrote, each set aside alone.  Nobody vouches
-- for what a row says: its batch id is not in `applied`, and what it tallies counts as
-- set aside.
-- A row goes when its batch comes as it was written.
CREATE TABLE damaged (
    stream    BLOB    NOT NULL CHECK (length(stream) = 16),
    seq       INTEGER NOT NULL,
    batch     BLOB    NOT NULL CHECK (length(batch) = 16),
    count     INTEGER NOT NULL,  -- as it claims; at most what a batch can hold
    epoch     INTEGER NOT NULL,
    key       BLOB    NOT NULL,
    first_ms  INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL,
    tally     TEXT    NOT NULL,
    records   BLOB    NOT NULL,
    addresses BLOB    NOT NULL,
    chain     BLOB    NOT NULL CHECK (length(chain) = 32),
    before    BLOB    NOT NULL CHECK (length(before) = 32),  -- the chain value before it
    reason    TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,  -- when it was set aside
    PRIMARY KEY (stream, seq, chain)  -- two histories of one stream may both be damaged there
) STRICT;

CREATE INDEX damaged_by_batch ON damaged (batch);

-- Boxes with the addresses of records that have no visitor hash yet.
CREATE TABLE address_box (
    batch     BLOB    PRIMARY KEY,
    epoch     INTEGER NOT NULL,  -- the oldest are asked for first: salts die on schedule
    addresses BLOB    NOT NULL
) STRICT;

CREATE INDEX address_box_by_epoch ON address_box (epoch, batch);

-- What became of the visits of a life: as the tallies of applied batches say, and,
-- counted in the transaction that writes them, how many became hits or were set
-- aside alone.  Hits that are removed later stay counted.
CREATE TABLE tally (
    life      BLOB    NOT NULL CHECK (length(life) = 16),
    hour_ms   INTEGER NOT NULL,
    recorded  INTEGER NOT NULL,
    late      INTEGER NOT NULL,
    shed      INTEGER NOT NULL,
    excluded  INTEGER NOT NULL,
    pulled    INTEGER NOT NULL,  -- hits written, by the hour of their own time
    set_aside INTEGER NOT NULL,  -- records set aside alone; whole batches stand in `sealed`
    PRIMARY KEY (life, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE text (             -- strings, each once; hits hold their ids
    id       INTEGER PRIMARY KEY,
    value    TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE hit (
    batch       INTEGER NOT NULL,  -- applied.id
    idx         INTEGER NOT NULL,  -- place in the batch
    time_ms     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    visitor     BLOB,
    asn         INTEGER,
    opt_out     INTEGER,
    session     TEXT,              -- told apart per player and per request: not worth interning
    ulid        TEXT,
    kind        INTEGER NOT NULL,  -- from here on: text.id
    method      INTEGER NOT NULL,
    host        INTEGER NOT NULL,
    path        INTEGER NOT NULL,
    target      INTEGER NOT NULL,
    region      INTEGER NOT NULL,
    link        INTEGER,
    variant     INTEGER,
    country     INTEGER,
    subdivision INTEGER,
    agent       INTEGER,
    referer     INTEGER,
    source      INTEGER,
    source_kind INTEGER,
    range       INTEGER,
    language    INTEGER,
    arguments   INTEGER,
    cut         INTEGER,
    oddity      INTEGER,
    PRIMARY KEY (batch, idx)
) STRICT, WITHOUT ROWID;

CREATE INDEX hit_by_time ON hit (time_ms, batch, idx);
-- The epoch first: what is new goes to one place.
CREATE INDEX hit_by_visitor ON hit (epoch, visitor, time_ms) WHERE visitor IS NOT NULL;
CREATE INDEX hit_by_session ON hit (session, time_ms) WHERE session IS NOT NULL;
CREATE INDEX hit_by_ulid ON hit (ulid, time_ms) WHERE ulid IS NOT NULL;

-- What each distinct user agent is taken for; every other column is a text.id.
CREATE TABLE agent_class (
    agent   INTEGER PRIMARY KEY, -- text.id; 0: none was told
    version INTEGER NOT NULL,    -- of the lists that said so
    class   INTEGER NOT NULL,
    device  INTEGER,
    os      INTEGER,
    browser INTEGER
) STRICT;

-- The host of each distinct referer that has one.
CREATE TABLE referrer (
    referer INTEGER PRIMARY KEY, -- text.id
    host    INTEGER NOT NULL     -- text.id
) STRICT;

-- From here on: worked out of the hits, behind the head.  Up to `rolled.upto` every hit is in
-- a block and in the rollups; the few behind it are read themselves.
CREATE TABLE rolled (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    upto INTEGER NOT NULL        -- applied.id
) STRICT;

-- About a thousand hits that became visible one after another.
CREATE TABLE block (
    id          INTEGER PRIMARY KEY,
    first_batch INTEGER NOT NULL, -- applied.id
    last_batch  INTEGER NOT NULL,
    first_ms    INTEGER NOT NULL, -- the oldest time in it
    last_ms     INTEGER NOT NULL
) STRICT;

CREATE INDEX block_by_last ON block (last_ms);
CREATE INDEX block_by_first ON block (first_ms);

-- In which blocks a value of a field occurs, or did; -1: in which one of the hits has none.
-- The numbers of fields stand in aggregator/rolling/fields.py.
CREATE TABLE posting (
    span  INTEGER NOT NULL,       -- block / 1024: what is new goes to one place
    field INTEGER NOT NULL,
    value INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (span, field, value, block)
) STRICT, WITHOUT ROWID;

-- What was counted: by dimension, value and epoch, in buckets of an hour, a day and eight days.
CREATE TABLE rollup (
    dimension    INTEGER NOT NULL,
    tier         INTEGER NOT NULL,
    bucket_ms    INTEGER NOT NULL, -- when the bucket begins
    value        INTEGER NOT NULL, -- text.id, or a status; 0: absent
    epoch        INTEGER NOT NULL, -- -1: all together, in the buckets of eight days
    human_hits   INTEGER NOT NULL,
    human_clicks INTEGER NOT NULL,
    human_firsts INTEGER NOT NULL, -- visitors whose first click of the epoch it holds
    human_lasts  INTEGER NOT NULL, -- and whose last
    bot_hits     INTEGER NOT NULL,
    bot_clicks   INTEGER NOT NULL,
    bot_firsts   INTEGER NOT NULL,
    bot_lasts    INTEGER NOT NULL,
    any_firsts   INTEGER NOT NULL, -- as a person or as a bot
    any_lasts    INTEGER NOT NULL,
    PRIMARY KEY (dimension, tier, bucket_ms, value, epoch)
) STRICT, WITHOUT ROWID;

-- The hours that the clicks of an epoch span which have a visitor.
CREATE TABLE epoch_span (
    epoch    INTEGER PRIMARY KEY,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL
) STRICT;

-- The first and last clicks of visitors who click so often that reading all of them again
-- would take long.
CREATE TABLE regular (
    epoch       INTEGER NOT NULL,
    visitor     BLOB    NOT NULL,
    dimension   INTEGER NOT NULL,
    value       INTEGER NOT NULL,
    human_first INTEGER NOT NULL,
    human_last  INTEGER NOT NULL,
    bot_first   INTEGER NOT NULL,
    bot_last    INTEGER NOT NULL,
    PRIMARY KEY (epoch, visitor, dimension, value)
) STRICT, WITHOUT ROWID;

-- The first and last clicks of visitors of whom rows are gone by their age: the rollups still
-- count these.  A visitor of whom nothing else is left goes from here too, once the whole epoch
-- is as old.
CREATE TABLE past (
    epoch       INTEGER NOT NULL,
    visitor     BLOB    NOT NULL,
    dimension   INTEGER NOT NULL,
    value       INTEGER NOT NULL,
    human_first INTEGER NOT NULL,
    human_last  INTEGER NOT NULL,
    bot_first   INTEGER NOT NULL,
    bot_last    INTEGER NOT NULL,
    PRIMARY KEY (epoch, visitor, dimension, value)
) STRICT, WITHOUT ROWID;

-- Since when there are hits of each kind of which older ones went by their age.
CREATE TABLE retained (
    kind      TEXT    PRIMARY KEY,
    since_ms  INTEGER NOT NULL,  -- older ones are gone, or going
    done_ms   INTEGER NOT NULL,  -- up to here the last run went that came to its end,
    done_upto INTEGER NOT NULL   -- through everything up to this applied.id
) STRICT, WITHOUT ROWID;

-- How many clicks each link had that went by their age, counted as limits count them.
CREATE TABLE past_clicks (
    link   TEXT    PRIMARY KEY,
    clicks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is never to be kept again.  Also beside the database, in a file that is not replicated
-- and in the object store: a restored database takes it over from there.
CREATE TABLE erase_rule (
    kind    TEXT    NOT NULL CHECK (kind IN ('visitor', 'link', 'host')),
    value   BLOB    NOT NULL,    -- of a link or host in UTF-8
    at_ms   INTEGER NOT NULL,
    who     TEXT    NOT NULL,    -- the name of the token
    until   INTEGER NOT NULL,    -- applied.id: what comes behind it was never let in
    upto    INTEGER NOT NULL,    -- applied.id up to which it is carried out
    removed INTEGER NOT NULL,
    done_ms INTEGER,             -- NULL: there is something left to do
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

-- Texts that hits had which were removed: those that nothing else has are swept away.
CREATE TABLE loose_text (
    id INTEGER PRIMARY KEY       -- text.id
) STRICT;

-- How many clicks each link has had that has, or had, a click limit.  Derived: who empties
-- both tables has everything counted anew.
CREATE TABLE click_count (
    link   TEXT    PRIMARY KEY,
    clicks INTEGER NOT NULL,
    upto   INTEGER              -- applied.id up to which it holds; NULL: click_place.upto
) STRICT, WITHOUT ROWID;

CREATE INDEX click_count_behind ON click_count (upto) WHERE upto IS NOT NULL;
CREATE INDEX click_count_together ON click_count (link) WHERE upto IS NULL;

CREATE TABLE click_place (      -- one row, once there is a link to count
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    upto INTEGER NOT NULL       -- applied.id up to which the links are counted that go together
) STRICT;

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

-- For people with `sqlite3 -readonly`.
CREATE VIEW hits AS
SELECT lower(hex(applied.batch)) || ':' || idx AS id,
       strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch') AS time,
       (SELECT value FROM text WHERE id = hit.region) AS region,
       (SELECT value FROM text WHERE id = hit.kind) AS kind,
       (SELECT value FROM text WHERE id = hit.host) AS host,
       (SELECT value FROM text WHERE id = hit.path) AS path,
       (SELECT value FROM text WHERE id = hit.target) AS target,
       status,
       (SELECT value FROM text WHERE id = hit.link) AS link,
       nullif(lower(hex(visitor)), '') AS visitor,
       hit.epoch AS epoch
  FROM hit JOIN applied ON applied.id = hit.batch;

CREATE VIEW waiting AS
SELECT lower(hex(batch)) AS batch, stream, seq, applied.epoch AS epoch, count
  FROM sealed JOIN applied USING (batch) WHERE reason IS NULL;

CREATE VIEW set_aside AS
SELECT lower(hex(batch)) AS batch, stream, seq, applied.epoch AS epoch, count, reason
  FROM sealed JOIN applied USING (batch) WHERE reason IS NOT NULL;

CREATE VIEW set_aside_records AS
SELECT lower(hex(set_aside_record.batch)) || ':' || idx AS id, stream, seq, reason, fields
  FROM set_aside_record JOIN applied USING (batch);

CREATE VIEW damaged_batches AS
SELECT lower(hex(stream)) AS stream, seq, lower(hex(batch)) AS batch, count, reason,
       strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS time
  FROM damaged;
