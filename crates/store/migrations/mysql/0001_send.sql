-- The schema of the embedded files as one database. History is partitioned by day of accept: the time-ordered id is the
-- partition key; `pmax` takes what has no partition yet. Times, hashes and flags are as in the embedded schema.

CREATE TABLE requests (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  rows_given INT NOT NULL,
  accepted INT NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,
  first_id BIGINT NOT NULL,
  last_id BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE runs (
  first BIGINT NOT NULL PRIMARY KEY,
  count INT NOT NULL,
  next INT NOT NULL,
  gen INT NOT NULL,
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,
  KEY runs_account (account, first)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE backlog (
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  first BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (lane, account, first)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE claims (
  id BIGINT NOT NULL PRIMARY KEY,
  owner BIGINT NOT NULL,
  deadline BIGINT NOT NULL,
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  first BIGINT NOT NULL,
  relays BLOB NOT NULL,
  ids BLOB
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE due (
  at BIGINT NOT NULL,
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  kind SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  relay SMALLINT NOT NULL,
  PRIMARY KEY (at, id),
  KEY due_id (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE submits (
  relay SMALLINT NOT NULL,
  relay_id VARCHAR(128) NOT NULL,
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  part SMALLINT NOT NULL,
  parts SMALLINT NOT NULL,
  recipient BIGINT NOT NULL,
  deadline BIGINT NOT NULL,
  PRIMARY KEY (relay, relay_id, id, part),
  KEY submits_deadline (deadline)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE unknown_attempts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  recipient BIGINT NOT NULL,
  since BIGINT NOT NULL,
  resolved BIGINT NOT NULL,
  resolution TEXT,
  PRIMARY KEY (id, attempt),
  KEY unknown_match (relay, recipient)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE orphan_receipts (
  seq BIGINT NOT NULL PRIMARY KEY,
  relay SMALLINT NOT NULL,
  relay_id VARCHAR(128) NOT NULL,
  recipient BIGINT NOT NULL,
  reference INT NOT NULL,
  status SMALLINT NOT NULL,
  code INT NOT NULL,
  at BIGINT NOT NULL,
  raw BLOB NOT NULL,
  KEY orphan_match (relay, relay_id),
  KEY orphan_recipient (relay, recipient)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE idempotency (
  `key` BIGINT NOT NULL PRIMARY KEY,
  body_hash BLOB NOT NULL,
  status SMALLINT NOT NULL,
  answer MEDIUMBLOB NOT NULL,
  expires BIGINT NOT NULL,
  KEY idempotency_expires (expires)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE client_refs (
  `key` BIGINT NOT NULL PRIMARY KEY,
  id BIGINT NOT NULL,
  KEY client_refs_id (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE parked (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  at BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  lane SMALLINT NOT NULL,
  reason TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE facts (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE slices (
  first BIGINT NOT NULL PRIMARY KEY,
  count INT NOT NULL,
  request BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (first) (PARTITION pmax VALUES LESS THAN MAXVALUE);

CREATE TABLE contents (
  request BIGINT NOT NULL,
  no INT NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (request, no)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (request) (PARTITION pmax VALUES LESS THAN MAXVALUE);

CREATE TABLE messages (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,
  lane SMALLINT NOT NULL,
  channel SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  price BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  recipient BIGINT NOT NULL,
  last4 BIGINT NOT NULL,
  content INT NOT NULL,
  sealed BLOB NOT NULL,
  extra TEXT,
  status SMALLINT NOT NULL,
  code INT NOT NULL,
  late SMALLINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT,
  relay_id TEXT,
  outcome SMALLINT,
  t_claim BIGINT,
  t_submit BIGINT,
  t_result BIGINT,
  KEY messages_recipient (recipient, id),
  KEY messages_last4 (last4, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (id) (PARTITION pmax VALUES LESS THAN MAXVALUE);

CREATE TABLE attempts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT,
  relay_id TEXT,
  outcome SMALLINT,
  code INT NOT NULL,
  t_claim BIGINT,
  t_submit BIGINT,
  t_result BIGINT,
  PRIMARY KEY (id, attempt)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (id) (PARTITION pmax VALUES LESS THAN MAXVALUE);

CREATE TABLE receipts (
  id BIGINT NOT NULL,
  attempt SMALLINT NOT NULL,
  part SMALLINT NOT NULL,
  at BIGINT NOT NULL,
  verdict SMALLINT NOT NULL,
  raw BLOB NOT NULL,
  PRIMARY KEY (id, attempt, part, at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (id) (PARTITION pmax VALUES LESS THAN MAXVALUE);
