-- name: insert_tape
INSERT INTO tapes (id, owner, started_at_ns, kind, method, path, dialect, upstream, model, session, tags)
VALUES (:id, :owner, :started_at_ns, :kind, :method, :path, :dialect, :upstream, :model, :session, :tags);

-- name: insert_exchange
INSERT INTO exchanges (tape_key, request_headers, request_body) VALUES (:key, :headers, :body);

-- name: set_response
UPDATE tapes
SET status = :status, head_ns = :head_ns, kind = :kind,
    upstream = coalesce(:upstream, upstream), model = coalesce(:model, model)
WHERE key = :key;

-- name: set_response_headers
UPDATE exchanges SET response_headers = :headers WHERE tape_key = :key;

-- name: insert_block
INSERT INTO blocks (tape_key, first_number, frame_count, codec, frame_index, data)
VALUES (:tape_key, :first_number, :frame_count, :codec, :frame_index, :data);

-- name: set_counts
UPDATE tapes
SET chunk_count = :chunk_count, byte_count = :byte_count, lost_bytes = :lost_bytes,
    first_byte_ns = :first_byte_ns, last_byte_ns = :last_byte_ns
WHERE key = :key;

-- name: end_tape
UPDATE tapes SET owner = NULL, outcome = :outcome, error = :error, duration_ns = :duration_ns WHERE key = :key;

-- name: unpacked_ids
SELECT id FROM tapes WHERE packed = 0 AND outcome IS NOT NULL;

-- name: is_unpacked
SELECT key FROM tapes WHERE id = :id AND packed = 0 AND outcome IS NOT NULL;

-- name: span_of_blocks
SELECT sum(frame_count), min(first_number), max(first_number + frame_count - 1)
FROM blocks WHERE tape_key = :key AND first_number BETWEEN :first_number AND :last_number;

-- name: delete_blocks
DELETE FROM blocks WHERE tape_key = :key AND first_number BETWEEN :first_number AND :last_number;

-- name: deflate_request
UPDATE exchanges SET request_body = :body, request_deflated = 1 WHERE tape_key = :key;

-- name: summarise_tape
UPDATE tapes
SET packed = 1, model = coalesce(:model, model), first_content_ns = :first_content_ns,
    input_tokens = :input_tokens, output_tokens = :output_tokens, finish_reason = :finish_reason,
    cost_usd = :cost_usd, prompt = :prompt, max_gap_ns = :max_gap_ns, gaps = :gaps
WHERE key = :key;

-- name: unindexed_ids
SELECT id FROM tapes WHERE indexed = 0 AND packed = 1 ORDER BY key DESC LIMIT :limit;

-- name: unindexed_count
SELECT count(*) FROM tapes WHERE indexed = 0 AND packed = 1;

-- name: is_unindexed
SELECT key FROM tapes WHERE id = :id AND indexed = 0 AND packed = 1;

-- name: index_tape
UPDATE tapes
SET indexed = 1, prompt = coalesce(prompt, :prompt), max_gap_ns = coalesce(max_gap_ns, :max_gap_ns),
    gaps = coalesce(gaps, :gaps)
WHERE key = :key;

-- name: insert_texts
INSERT INTO texts (rowid, request, answer) VALUES (:key, :request, :answer);

-- name: merge_texts
INSERT INTO texts (texts, rank) VALUES ('merge', :pages);

-- name: owners
SELECT DISTINCT owner FROM tapes WHERE owner IS NOT NULL;

-- name: tapes_of
SELECT key, id, last_byte_ns, head_ns FROM tapes WHERE owner IN (SELECT value FROM json_each(:owners));

-- name: tape
SELECT * FROM tapes WHERE id = :id;

-- name: ids_with_prefix
SELECT id FROM tapes WHERE id >= :prefix AND id < :prefix || 'a' ORDER BY id DESC LIMIT 2;

-- name: exchange
SELECT e.* FROM exchanges AS e JOIN tapes AS t ON t.key = e.tape_key WHERE t.id = :id;

-- name: blocks
-- The subquery finds the block to begin with in the index: a follower of a long tape asks twenty times a second.
SELECT b.first_number, b.frame_count, b.codec, b.frame_index, b.data
FROM tapes AS t JOIN blocks AS b ON b.tape_key = t.key
WHERE t.id = :id
    AND b.first_number >= coalesce(
        (SELECT max(first_number) FROM blocks WHERE tape_key = t.key AND first_number <= :after + 1), 0
    )
    AND b.first_number + b.frame_count > :after + 1
ORDER BY b.first_number
LIMIT :limit;

-- name: blocks_backwards
SELECT first_number, frame_count, codec, frame_index, data
FROM blocks
WHERE tape_key = (SELECT key FROM tapes WHERE id = :id) AND first_number < :before
ORDER BY first_number DESC
LIMIT :limit;

-- name: block_indexes
SELECT first_number, frame_count, codec, frame_index, x''
FROM blocks
WHERE tape_key = (SELECT key FROM tapes WHERE id = :id)
ORDER BY first_number;

-- name: delete_tape
DELETE FROM tapes WHERE id = :id AND outcome IS NOT NULL;

-- name: last_deletion
SELECT coalesce(max(number), 0) FROM deletions;

-- name: deletions_from
SELECT number, id FROM deletions WHERE number >= :number ORDER BY number;

-- name: is_there
SELECT 1 FROM tapes WHERE id = :id;

-- name: ended_before
SELECT id FROM tapes WHERE id < :until_id AND outcome IS NOT NULL ORDER BY id LIMIT :limit;
