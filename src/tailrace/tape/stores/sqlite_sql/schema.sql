-- The tables as the numbered migrations leave them: to read, never run. A test keeps it equal to them.

-- One row a tape, light enough that a list never reads a body.
-- Times named _ns are nanoseconds since started_at_ns, which is Unix time in nanoseconds.
CREATE TABLE tapes (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT,                      -- who is recording it; NULL once it has ended
    started_at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    dialect TEXT NOT NULL,
    upstream TEXT,
    model TEXT,
    session TEXT,
    tags TEXT NOT NULL DEFAULT '{}',
    status INTEGER,
    outcome TEXT,                    -- NULL while it is being recorded
    error TEXT,
    head_ns INTEGER,
    first_byte_ns INTEGER,
    last_byte_ns INTEGER,
    first_content_ns INTEGER,
    duration_ns INTEGER,
    chunk_count INTEGER NOT NULL DEFAULT 0,
    byte_count INTEGER NOT NULL DEFAULT 0,
    lost_bytes INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER,
    output_tokens INTEGER,
    finish_reason TEXT,
    packed INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL,
    prompt TEXT,
    max_gap_ns INTEGER,
    gaps BLOB,                       -- one byte each, see gaps.py
    indexed INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX tapes_unfinished ON tapes (owner) WHERE owner IS NOT NULL;
CREATE INDEX tapes_unpacked ON tapes (key) WHERE packed = 0;
CREATE INDEX tapes_unindexed ON tapes (key) WHERE indexed = 0 AND packed = 1;
CREATE INDEX tapes_session ON tapes (session, id) WHERE session IS NOT NULL;

-- The request and the response's head.
CREATE TABLE exchanges (
    tape_key INTEGER PRIMARY KEY REFERENCES tapes (key) ON DELETE CASCADE,
    request_headers TEXT NOT NULL,
    request_body BLOB NOT NULL,
    request_deflated INTEGER NOT NULL DEFAULT 0,
    response_headers TEXT NOT NULL DEFAULT '[]'
);

-- Frames in bulk: many small blocks while a tape grows, one (or few) when it has been packed.
CREATE TABLE blocks (
    key INTEGER PRIMARY KEY,
    tape_key INTEGER NOT NULL REFERENCES tapes (key) ON DELETE CASCADE,
    first_number INTEGER NOT NULL,
    frame_count INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    frame_index BLOB NOT NULL,
    data BLOB NOT NULL
);

CREATE UNIQUE INDEX blocks_of_tape ON blocks (tape_key, first_number);

-- The words of a tape, under its key. The texts themselves are not stored again: they are in the tape.
CREATE VIRTUAL TABLE texts USING fts5 (
    request, answer, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2"
);

-- What is merged, is merged in steps by whoever indexes: by itself it would now and then take most of a second.
INSERT INTO texts (texts, rank) VALUES ('automerge', 0);
INSERT INTO texts (texts, rank) VALUES ('crisismerge', 1000);

CREATE TRIGGER tapes_forgotten AFTER DELETE ON tapes WHEN old.indexed = 1 BEGIN
    DELETE FROM texts WHERE rowid = old.key;
END;

-- The tapes that were deleted last, in order: whoever follows the list is told. The newest is never forgotten, so no
-- number comes twice.
CREATE TABLE deletions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL
);

CREATE TRIGGER tapes_deleted AFTER DELETE ON tapes BEGIN
    INSERT INTO deletions (id) VALUES (old.id);
    DELETE FROM deletions WHERE number <= last_insert_rowid() - 1000;
END;
