-- What was promised, in one file for the life of the installation (design section 5).

-- One row a request: what a caller was promised. A request of one message has the id of that message.
CREATE TABLE requests (
  id BIGINT PRIMARY KEY,
  account BIGINT NOT NULL,
  kind SMALLINT NOT NULL,        -- 0 single, 1 batch
  rows_given INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,        -- charged, in the unit
  first_id BIGINT NOT NULL,      -- its messages lie in runs of [first_id, last_id]
  last_id BIGINT NOT NULL
);

-- A run: at most 500 messages of one (lane, account) with contiguous ids. Its presence is what makes the staged rows exist.
CREATE TABLE runs (
  first BIGINT PRIMARY KEY,
  count INTEGER NOT NULL,
  next INTEGER NOT NULL,         -- offset of the first unclaimed message
  gen INTEGER NOT NULL,          -- raised when a waiting row changes (cancel), so that a stale claim misses
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL        -- 0 when it holds single messages
);
CREATE INDEX runs_account ON runs (account, first);

-- Runs with unclaimed messages; the row goes with the last claim.
CREATE TABLE backlog (
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  first BIGINT NOT NULL,
  expires BIGINT NOT NULL,       -- the earliest expiry in it, ms since the Unix epoch
  PRIMARY KEY (lane, account, first)
) WITHOUT ROWID;

-- Intent before send: one byte a message names the relay (255: left out).
CREATE TABLE claims (
  id BIGINT PRIMARY KEY,
  owner BIGINT NOT NULL,         -- the incarnation of the dispatcher
  deadline BIGINT NOT NULL,      -- ms since the Unix epoch
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  first BIGINT NOT NULL,
  relays BLOB NOT NULL,
  ids BLOB                       -- NULL: contiguous from first; else 9 bytes each: id, attempt
);

-- Everything that becomes due later: retries, answers to silence.
CREATE TABLE due (
  at BIGINT NOT NULL,            -- ms since the Unix epoch
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,     -- the attempt to make
  kind SMALLINT NOT NULL,        -- 0 send again, 1 end as expired
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  relay SMALLINT NOT NULL,       -- the relay the retry decision chose, 255 any
  PRIMARY KEY (at, id)
) WITHOUT ROWID;
CREATE INDEX due_id ON due (id);

-- Submitted parts that wait longer for a receipt than memory keeps them.
CREATE TABLE submits (
  relay SMALLINT NOT NULL,
  relay_id TEXT NOT NULL,
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  part SMALLINT NOT NULL,
  parts SMALLINT NOT NULL,
  recipient BIGINT NOT NULL,     -- keyed hash
  deadline BIGINT NOT NULL,      -- ms since the Unix epoch
  PRIMARY KEY (relay, relay_id, id, part)
) WITHOUT ROWID;
CREATE INDEX submits_deadline ON submits (deadline);

-- Attempts whose fate is or was unknown. Every duplicate at a relay belongs to one of these.
CREATE TABLE unknown_attempts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  recipient BIGINT NOT NULL,     -- keyed hash
  since BIGINT NOT NULL,         -- ms since the Unix epoch
  resolved BIGINT NOT NULL,      -- 0 open, else ms since the Unix epoch
  resolution TEXT,
  PRIMARY KEY (id, attempt)
) WITHOUT ROWID;
CREATE INDEX unknown_match ON unknown_attempts (relay, recipient);

-- Receipts that match nothing yet.
CREATE TABLE orphan_receipts (
  seq INTEGER PRIMARY KEY,
  relay SMALLINT NOT NULL,
  relay_id TEXT NOT NULL,
  recipient BIGINT NOT NULL,
  reference INTEGER NOT NULL,    -- -1 absent
  status SMALLINT NOT NULL,
  code INTEGER NOT NULL,
  at BIGINT NOT NULL,
  raw BLOB NOT NULL
);
CREATE INDEX orphan_match ON orphan_receipts (relay, relay_id);
CREATE INDEX orphan_recipient ON orphan_receipts (relay, recipient);

-- Answers kept for a repeat of the same request (24 h).
CREATE TABLE idempotency (
  key BIGINT PRIMARY KEY,        -- keyed hash of account, route and key
  body_hash BLOB NOT NULL,
  status SMALLINT NOT NULL,
  answer BLOB NOT NULL,
  expires BIGINT NOT NULL        -- ms since the Unix epoch
);
CREATE INDEX idempotency_expires ON idempotency (expires);

-- The caller's own ids: unique per account while the message is kept, and a day longer.
CREATE TABLE client_refs (
  key BIGINT PRIMARY KEY,        -- keyed hash of account and reference
  id BIGINT NOT NULL
);

-- Messages that cannot be processed.
CREATE TABLE parked (
  id BIGINT PRIMARY KEY,
  account BIGINT NOT NULL,
  at BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  reason TEXT NOT NULL
);

-- The last settle row of each day file that the ledger has booked.
CREATE TABLE booked (
  day INTEGER PRIMARY KEY,
  settle BIGINT NOT NULL
);

-- Small facts about the installation.
CREATE TABLE facts (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
