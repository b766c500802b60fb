-- Facts, written by the commit that makes the change: counters for statistics, progress of requests, events.

-- The set of billCode and labels that a message is counted under, 0 none.
ALTER TABLE messages ADD COLUMN stat INT NOT NULL DEFAULT 0;
-- What a staged slice counts for when it comes to exist.
ALTER TABLE slices ADD COLUMN tally BLOB;

CREATE TABLE stat_sets (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account BIGINT NOT NULL,
  hash BIGINT NOT NULL,
  made INT NOT NULL,              -- day, Asia/Seoul
  bill_code TEXT,
  labels TEXT NOT NULL,           -- JSON object, keys in order
  UNIQUE KEY stat_sets_hash (account, hash),
  KEY stat_sets_made (account, made)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Messages by day of accept. No two processes share a row: readers add up the nodes.
CREATE TABLE counters (
  account BIGINT NOT NULL,
  day INT NOT NULL,
  channel SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  relay SMALLINT NOT NULL,        -- 255 none
  status SMALLINT NOT NULL,       -- 2 accepted, 10 and above ended so
  stat INT NOT NULL,
  node SMALLINT NOT NULL,
  messages BIGINT NOT NULL,
  charged BIGINT NOT NULL,
  refunded BIGINT NOT NULL,
  PRIMARY KEY (account, day, channel, lane, unit, relay, status, stat, node),
  KEY counters_day (day)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Messages of a request that stand so; those in no row wait.
CREATE TABLE progress (
  request BIGINT NOT NULL,
  status SMALLINT NOT NULL,
  node SMALLINT NOT NULL,
  messages BIGINT NOT NULL,
  PRIMARY KEY (request, status, node)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Events of one account and commit. `no` comes after the commit, from the one numberer; readers see numbered ones only.
CREATE TABLE event_slices (
  id BIGINT NOT NULL AUTO_INCREMENT,
  moment BIGINT NOT NULL,         -- the smallest id of the moment of the commit
  no BIGINT,
  account BIGINT NOT NULL,
  at BIGINT NOT NULL,             -- ms since the Unix epoch
  events MEDIUMBLOB NOT NULL,
  PRIMARY KEY (id, moment),
  KEY event_slices_no (no),
  KEY event_slices_account (account, no)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (moment) (PARTITION pmax VALUES LESS THAN MAXVALUE);
