-- One day of accept (Asia/Seoul): rows never move, retention unlinks the file.

-- A slice: written before its request commits. Without a run of the same first id its rows do not exist.
CREATE TABLE slices (
  first BIGINT PRIMARY KEY,
  count INTEGER NOT NULL,
  request BIGINT NOT NULL
);

-- Texts of a batch, each once.
CREATE TABLE contents (
  request BIGINT NOT NULL,
  no INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (request, no)
) WITHOUT ROWID;

-- Times of an attempt are milliseconds after accept (the accept time is in the id).
CREATE TABLE messages (
  id BIGINT PRIMARY KEY,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,       -- 0 for a single message
  lane SMALLINT NOT NULL,
  channel SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  price BIGINT NOT NULL,
  expires BIGINT NOT NULL,       -- ms after accept
  recipient BIGINT NOT NULL,     -- keyed hash of account and number
  last4 BIGINT NOT NULL,         -- keyed hash of account and last four digits, 32 bits
  content INTEGER NOT NULL,      -- number in contents, 0: the text is in sealed
  sealed BLOB NOT NULL,          -- recipient, sender, variables or text
  extra TEXT,                    -- clientRef, billCode, labels as JSON
  status SMALLINT NOT NULL,
  code INTEGER NOT NULL,
  late SMALLINT NOT NULL,
  attempt SMALLINT NOT NULL,     -- number of the attempt in the columns below, 0 none yet
  relay SMALLINT,
  relay_id TEXT,                 -- one line a part: the relay's id, then a tab and the code once it is known
  outcome SMALLINT,
  t_claim BIGINT,
  t_submit BIGINT,
  t_result BIGINT
);

-- Attempts before the current one.
CREATE TABLE attempts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT,
  relay_id TEXT,
  outcome SMALLINT,
  code INTEGER NOT NULL,
  t_claim BIGINT,
  t_submit BIGINT,
  t_result BIGINT,
  PRIMARY KEY (id, attempt)
) WITHOUT ROWID;

-- Receipts as they came.
CREATE TABLE receipts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  part SMALLINT NOT NULL,
  at BIGINT NOT NULL,            -- microseconds since the Unix epoch
  verdict SMALLINT NOT NULL,     -- 0 decided, 1 repeated, 2 late, 3 part of several, 4 not final
  raw BLOB NOT NULL,
  PRIMARY KEY (id, attempt, part, at)
) WITHOUT ROWID;

-- Money that a commit of this file gives back; the ledger books it under settle:DAY:seq.
CREATE TABLE settles (
  seq BIGINT NOT NULL,
  account BIGINT NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (seq, account, unit)
) WITHOUT ROWID;
