-- Reading: who asked for a request, and what its claims knew.

ALTER TABLE requests ADD COLUMN trace TEXT;        -- X-Request-Id of the call
ALTER TABLE runs ADD COLUMN note BLOB;             -- what each claim of it knew, appended

-- Messages up to this id have no sender and no tags to be found by.
INSERT OR IGNORE INTO facts (name, value) SELECT 'tagged-after', COALESCE(MAX(last_id), 0) FROM requests;
