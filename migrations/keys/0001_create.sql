-- keys 0 -> 1: the first release's shape.
--
-- Never edited after a release: what changes is a step of its own.
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
