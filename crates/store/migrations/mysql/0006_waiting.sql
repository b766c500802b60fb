-- Runs that wait for their time (예약), and what accounts say of themselves in advertisements.

-- A run that is not to leave yet: it has a row here instead of one in backlog.
CREATE TABLE waiting (
  first BIGINT NOT NULL PRIMARY KEY,
  count INT NOT NULL,
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,        -- 0 when it holds single messages
  expires BIGINT NOT NULL,        -- the earliest expiry in it as its rows have it, ms since the Unix epoch
  at BIGINT NOT NULL,             -- when it is to leave, ms since the Unix epoch
  counted BIGINT NOT NULL,        -- from when the expiry of its rows counts
  reason SMALLINT NOT NULL,       -- 1 its time
  KEY waiting_at (at),
  KEY waiting_request (request)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- When a run is to leave (ms since the Unix epoch, 0: at once), and whether it has a row in waiting.
ALTER TABLE runs ADD COLUMN send_at BIGINT NOT NULL DEFAULT 0, ADD COLUMN held SMALLINT NOT NULL DEFAULT 0;

-- The sender name and the free number for refusals (080) of advertisements.
ALTER TABLE accounts ADD COLUMN ad_name VARCHAR(255), ADD COLUMN opt_out VARCHAR(32);
