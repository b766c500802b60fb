-- Several processes over one database: what each holds, for how long, and the state of distributions per process. The
-- embedded store belongs to one process; its table of leases stays empty.

-- A lease is free when `owner` is 0.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  owner BIGINT NOT NULL,
  until BIGINT NOT NULL,          -- ms since the Unix epoch
  not_before BIGINT NOT NULL,     -- ms since the Unix epoch: nothing is written through a bind before it
  dispatch SMALLINT NOT NULL,
  report SMALLINT NOT NULL,
  commits BIGINT NOT NULL
);

CREATE TABLE distribution_state_new (
  account BIGINT   NOT NULL,
  channel SMALLINT NOT NULL,
  state   BLOB     NOT NULL,
  seat    SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (account, channel, seat)
);
INSERT INTO distribution_state_new (account, channel, state) SELECT account, channel, state FROM distribution_state;
DROP TABLE distribution_state;
ALTER TABLE distribution_state_new RENAME TO distribution_state;

-- Messages that an equal one within the account's window would repeat.
ALTER TABLE accounts ADD COLUMN dedupe_s BIGINT NOT NULL DEFAULT 0;
CREATE TABLE dedupe (
  `key` BIGINT NOT NULL PRIMARY KEY,
  id BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX dedupe_expires ON dedupe (expires);
