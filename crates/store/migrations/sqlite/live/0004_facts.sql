-- Facts about what the live file's commit makes exist: accepted messages. What becomes of them is in the day files.

-- Sets of billCode and labels that messages are counted under.
CREATE TABLE stat_sets (
  id INTEGER PRIMARY KEY,
  account BIGINT NOT NULL,
  hash BIGINT NOT NULL,
  made INTEGER NOT NULL,         -- day, Asia/Seoul
  bill_code TEXT,
  labels TEXT NOT NULL,          -- JSON object, keys in order
  UNIQUE (account, hash)
);
CREATE INDEX stat_sets_made ON stat_sets (account, made);

-- Messages by day of accept; those of days whose file is gone, too.
CREATE TABLE counters (
  account BIGINT NOT NULL,
  day INTEGER NOT NULL,
  channel SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  relay SMALLINT NOT NULL,       -- 255 none
  status SMALLINT NOT NULL,      -- 2 accepted, 10 and above ended so
  stat INTEGER NOT NULL,
  node SMALLINT NOT NULL,
  messages BIGINT NOT NULL,
  charged BIGINT NOT NULL,
  refunded BIGINT NOT NULL,
  PRIMARY KEY (account, day, channel, lane, unit, relay, status, stat, node)
) WITHOUT ROWID;
CREATE INDEX counters_day ON counters (day);

-- Events of one account and commit. Numbers ascend over all files.
CREATE TABLE event_slices (
  no INTEGER PRIMARY KEY,
  account BIGINT NOT NULL,
  at BIGINT NOT NULL,            -- ms since the Unix epoch
  events BLOB NOT NULL
);
CREATE INDEX event_slices_account ON event_slices (account, no);
