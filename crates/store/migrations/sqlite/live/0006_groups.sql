-- Groups: rows are staged over many calls, and exist from the commit that sends the group.
-- Times are milliseconds since the Unix epoch, 0 for never.

-- A group has the id of the request that it becomes.
CREATE TABLE send_groups (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  state SMALLINT NOT NULL,       -- 0 staging, 1 waiting for approval, 2 scheduled, 3 sending, 4 finished, 5 canceled, 6 expired
  phase SMALLINT NOT NULL,       -- what periodic work has to do: 0 nothing, 1 move slices, 2 watch for the end, 3 discard, 4 stop, 5 end what was stopped, 9 nothing any more
  name TEXT,
  defaults BLOB NOT NULL,        -- sealed JSON
  approval SMALLINT NOT NULL,
  send_at BIGINT NOT NULL,
  rows_received INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  unit SMALLINT NOT NULL,        -- 255 before the first accepted row
  amount BIGINT NOT NULL,
  first_id BIGINT NOT NULL,      -- of its messages, 0 before the first
  last_id BIGINT NOT NULL,
  touched BIGINT NOT NULL,       -- the last call that changed it
  upload BIGINT NOT NULL,        -- keyed hash of the upload that is not complete, 0 none
  sent BIGINT NOT NULL,
  sent_by BIGINT NOT NULL,       -- keys
  approved_by BIGINT NOT NULL,
  finished BIGINT NOT NULL,
  canceled INTEGER NOT NULL,     -- messages that a cancel kept from leaving
  stopped_to BIGINT NOT NULL     -- how far a cancel has stopped runs
);
CREATE INDEX send_groups_account ON send_groups (account, id);
CREATE INDEX send_groups_phase ON send_groups (phase, id);

-- Staged slices that have no run yet, and runs whose rest is to be ended.
CREATE TABLE group_slices (
  first BIGINT NOT NULL PRIMARY KEY,
  request BIGINT NOT NULL,
  count INTEGER NOT NULL,
  lane SMALLINT NOT NULL,
  expires BIGINT NOT NULL,       -- the earliest expiry in it as staged
  amount BIGINT NOT NULL,
  skip INTEGER NOT NULL          -- -1: to become a run; else the messages from this offset on are to be canceled
);
CREATE INDEX group_slices_request ON group_slices (request, first);

-- What is wrong with rows, by their number from 1.
CREATE TABLE group_errors (
  request BIGINT NOT NULL,
  row_no INTEGER NOT NULL,
  seq SMALLINT NOT NULL,
  code INTEGER NOT NULL,
  field TEXT NOT NULL,
  detail TEXT NOT NULL,
  form SMALLINT NOT NULL,        -- what is sealed: 0 the recipient as written, 1 a message as in messages.sealed, 2 nothing
  sealed BLOB NOT NULL,
  extra TEXT,                    -- as in messages.extra
  PRIMARY KEY (request, row_no, seq)
) WITHOUT ROWID;

-- Uploads that came with a key: where each began, and how many rows it had once it was complete.
CREATE TABLE group_uploads (
  request BIGINT NOT NULL,
  upload BIGINT NOT NULL,
  first_row INTEGER NOT NULL,
  row_count INTEGER NOT NULL,    -- -1 while it is not complete
  PRIMARY KEY (request, upload)
) WITHOUT ROWID;
