-- Ids become the keys of the tables that every message writes to: as BIGINT they had an index beside the table.

-- One row a request: what a caller was promised. A request of one message has the id of that message.
CREATE TABLE requests_new (
  id INTEGER PRIMARY KEY,
  account BIGINT NOT NULL,
  kind SMALLINT NOT NULL,        -- 0 single, 1 batch
  rows_given INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,        -- charged, in the unit
  first_id BIGINT NOT NULL,      -- its messages lie in runs of [first_id, last_id]
  last_id BIGINT NOT NULL,
  trace TEXT,                    -- X-Request-Id of the call
  api_key BIGINT NOT NULL DEFAULT 0 -- that it came with, 0 for those of Bongsu itself and of before
);
INSERT INTO requests_new (id, account, kind, rows_given, accepted, unit, amount, first_id, last_id, trace, api_key)
  SELECT id, account, kind, rows_given, accepted, unit, amount, first_id, last_id, trace, api_key FROM requests ORDER BY id;
DROP TABLE requests;
ALTER TABLE requests_new RENAME TO requests;

-- A run: at most 500 messages of one (lane, account) with contiguous ids. Its presence is what makes the staged rows exist.
CREATE TABLE runs_new (
  first INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  next INTEGER NOT NULL,         -- offset of the first unclaimed message
  gen INTEGER NOT NULL,          -- raised when a waiting row changes (cancel), so that a stale claim misses
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,       -- 0 when it holds single messages
  send_at BIGINT NOT NULL DEFAULT 0, -- ms since the Unix epoch, 0: at once
  held SMALLINT NOT NULL DEFAULT 0, -- 1 while it has a row in waiting
  note BLOB                      -- what each claim of it knew, appended
);
INSERT INTO runs_new (first, count, next, gen, lane, account, request, send_at, held, note)
  SELECT first, count, next, gen, lane, account, request, send_at, held, note FROM runs ORDER BY first;
DROP TABLE runs;
ALTER TABLE runs_new RENAME TO runs;
CREATE INDEX runs_account ON runs (account, first);

-- Intent before send: one byte a message names the relay (255: left out).
CREATE TABLE claims_new (
  id INTEGER PRIMARY KEY,
  owner BIGINT NOT NULL,         -- the incarnation of the dispatcher
  deadline BIGINT NOT NULL,      -- ms since the Unix epoch
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  first BIGINT NOT NULL,
  relays BLOB NOT NULL,
  ids BLOB,                      -- NULL: contiguous from first; else 9 bytes each: id, attempt
  no BIGINT NOT NULL DEFAULT 0
);
INSERT INTO claims_new (id, owner, deadline, lane, account, first, relays, ids, no)
  SELECT id, owner, deadline, lane, account, first, relays, ids, no FROM claims ORDER BY id;
DROP TABLE claims;
ALTER TABLE claims_new RENAME TO claims;

-- The caller's own ids: unique per account while the message is kept, and a day longer.
CREATE TABLE client_refs_new (
  `key` INTEGER PRIMARY KEY,     -- keyed hash of account and reference
  id BIGINT NOT NULL
);
INSERT INTO client_refs_new (`key`, id) SELECT `key`, id FROM client_refs ORDER BY `key`;
DROP TABLE client_refs;
ALTER TABLE client_refs_new RENAME TO client_refs;

-- Messages that an equal one within the account's window would repeat.
CREATE TABLE dedupe_new (
  `key` INTEGER PRIMARY KEY,
  id BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
INSERT INTO dedupe_new (`key`, id, expires) SELECT `key`, id, expires FROM dedupe ORDER BY `key`;
DROP TABLE dedupe;
ALTER TABLE dedupe_new RENAME TO dedupe;
CREATE INDEX dedupe_expires ON dedupe (expires);
