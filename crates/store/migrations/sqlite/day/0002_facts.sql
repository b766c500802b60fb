-- Facts about what this file's commit makes of messages of the day.

-- The set of billCode and labels that a message is counted under, 0 none.
ALTER TABLE messages ADD COLUMN stat INTEGER NOT NULL DEFAULT 0;
-- What a staged slice counts for when it comes to exist.
ALTER TABLE slices ADD COLUMN tally BLOB;

CREATE TABLE counters (
  account BIGINT NOT NULL,
  day INTEGER NOT NULL,
  channel SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  relay SMALLINT NOT NULL,       -- 255 none
  status SMALLINT NOT NULL,      -- 10 and above: ended so
  stat INTEGER NOT NULL,
  node SMALLINT NOT NULL,
  messages BIGINT NOT NULL,
  charged BIGINT NOT NULL,
  refunded BIGINT NOT NULL,
  PRIMARY KEY (account, day, channel, lane, unit, relay, status, stat, node)
) WITHOUT ROWID;

-- Messages of a request that stand so; those in no row wait.
CREATE TABLE progress (
  request BIGINT NOT NULL,
  status SMALLINT NOT NULL,
  node SMALLINT NOT NULL,
  messages BIGINT NOT NULL,
  PRIMARY KEY (request, status, node)
) WITHOUT ROWID;

CREATE TABLE event_slices (
  no INTEGER PRIMARY KEY,
  account BIGINT NOT NULL,
  at BIGINT NOT NULL,            -- ms since the Unix epoch
  events BLOB NOT NULL
);
CREATE INDEX event_slices_account ON event_slices (account, no);
