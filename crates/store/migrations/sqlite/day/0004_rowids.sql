-- Ids become the keys of the tables themselves. As BIGINT they had an index beside the table: two trees to write and to
-- look into for every row. What is looked at often comes before what is long.

-- A slice: written before its request commits. Without a run of the same first id its rows do not exist.
CREATE TABLE slices_new (
  first INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  request BIGINT NOT NULL,
  tally BLOB                     -- what it counts for when it comes to exist
);
INSERT INTO slices_new (first, count, request, tally) SELECT first, count, request, tally FROM slices ORDER BY first;
DROP TABLE slices;
ALTER TABLE slices_new RENAME TO slices;

-- A message. Its accept time is in its id.
CREATE TABLE messages_new (
  id INTEGER PRIMARY KEY,
  account BIGINT NOT NULL,
  request BIGINT NOT NULL,       -- 0 for a single message
  lane SMALLINT NOT NULL,
  channel SMALLINT NOT NULL,
  unit SMALLINT NOT NULL,
  price BIGINT NOT NULL,
  stat INTEGER NOT NULL DEFAULT 0, -- the set of billCode and labels that it is counted under, 0 none
  status SMALLINT NOT NULL,
  attempt SMALLINT NOT NULL,     -- number of the attempt in the columns below, 0 none yet
  relay SMALLINT,
  code INTEGER NOT NULL,
  late SMALLINT NOT NULL,
  outcome SMALLINT,
  t_claim BIGINT,                -- times of an attempt are ms after accept
  t_submit BIGINT,
  t_answer BIGINT,
  t_result BIGINT,
  expires BIGINT NOT NULL,       -- ms after accept
  recipient BIGINT NOT NULL,     -- keyed hash of account and number
  last4 BIGINT NOT NULL,         -- keyed hash of account and last four digits, 32 bits
  sender BIGINT NOT NULL DEFAULT 0, -- keyed hash of account and sender number, 32 bits
  content INTEGER NOT NULL,      -- number in contents, 0: the text is in sealed
  relay_id TEXT,                 -- one line a part: the relay's id, then a tab and the code once it is known
  sealed BLOB NOT NULL,          -- recipient, sender, variables or text
  extra TEXT                     -- clientRef, billCode, labels as JSON
);
INSERT INTO messages_new
  (id, account, request, lane, channel, unit, price, stat, status, attempt, relay, code, late, outcome, t_claim, t_submit,
   t_answer, t_result, expires, recipient, last4, sender, content, relay_id, sealed, extra)
  SELECT id, account, request, lane, channel, unit, price, stat, status, attempt, relay, code, late, outcome, t_claim, t_submit,
   t_answer, t_result, expires, recipient, last4, sender, content, relay_id, sealed, extra FROM messages ORDER BY id;
DROP TABLE messages;
ALTER TABLE messages_new RENAME TO messages;
