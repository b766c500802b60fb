-- Search keys of one day in sorted runs: each flush appends one run, nothing is inserted in the middle.
CREATE TABLE entries (
  run INTEGER NOT NULL,
  kind SMALLINT NOT NULL,        -- 0 recipient, 1 last four digits
  key BIGINT NOT NULL,
  id BIGINT NOT NULL,
  PRIMARY KEY (run, kind, key, id)
) WITHOUT ROWID;

-- Messages up to this id are in the runs.
CREATE TABLE flushed (
  run INTEGER PRIMARY KEY,
  upto BIGINT NOT NULL
);
