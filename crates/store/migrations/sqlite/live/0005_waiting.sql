-- Runs that wait for their time (예약), and what accounts say of themselves in advertisements.

-- A run that is not to leave yet: it has a row here instead of one in backlog.
CREATE TABLE waiting (
  first BIGINT PRIMARY KEY,
  count INTEGER NOT NULL,
  lane SMALLINT NOT NULL,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,       -- 0 when it holds single messages
  expires BIGINT NOT NULL,       -- the earliest expiry in it as its rows have it, ms since the Unix epoch
  at BIGINT NOT NULL,            -- when it is to leave, ms since the Unix epoch
  counted BIGINT NOT NULL,       -- from when the expiry of its rows counts; other than `at` where they are counted anew
  reason SMALLINT NOT NULL       -- 1 its time
);
CREATE INDEX waiting_at ON waiting (at);
CREATE INDEX waiting_request ON waiting (request);

ALTER TABLE runs ADD COLUMN send_at BIGINT NOT NULL DEFAULT 0;  -- ms since the Unix epoch, 0: at once
ALTER TABLE runs ADD COLUMN held SMALLINT NOT NULL DEFAULT 0;   -- 1 while it has a row in waiting

-- The sender name and the free number for refusals (080) of advertisements.
ALTER TABLE accounts ADD COLUMN ad_name TEXT;
ALTER TABLE accounts ADD COLUMN opt_out TEXT;
