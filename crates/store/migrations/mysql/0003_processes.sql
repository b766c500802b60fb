-- Several processes over one database: what each holds, for how long, and the state of distributions per process.

-- A lease is free when `owner` is 0. `commits` counts the transactions of a node: writing it fences a process that lost
-- its node, and tells after a lost connection whether the last transaction is there.
CREATE TABLE leases (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  owner BIGINT NOT NULL,
  until BIGINT NOT NULL,          -- ms since the Unix epoch
  not_before BIGINT NOT NULL,     -- ms since the Unix epoch: nothing is written through a bind before it
  dispatch SMALLINT NOT NULL,
  report SMALLINT NOT NULL,
  commits BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

ALTER TABLE distribution_state ADD COLUMN seat SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE distribution_state DROP PRIMARY KEY, ADD PRIMARY KEY (account, channel, seat);

-- Messages that an equal one within the account's window would repeat.
ALTER TABLE accounts ADD COLUMN dedupe_s BIGINT NOT NULL DEFAULT 0;
CREATE TABLE dedupe (
  `key` BIGINT NOT NULL PRIMARY KEY,
  id BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  KEY dedupe_expires (expires)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
