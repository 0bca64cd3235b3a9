-- What a list shows of a stream without opening it, and the texts to search in.
ALTER TABLE tapes ADD COLUMN prompt TEXT;
ALTER TABLE tapes ADD COLUMN max_gap_ns INTEGER;
ALTER TABLE tapes ADD COLUMN gaps BLOB;
ALTER TABLE tapes ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;

CREATE INDEX tapes_unindexed ON tapes (key) WHERE indexed = 0 AND packed = 1;

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
