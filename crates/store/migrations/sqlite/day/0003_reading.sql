-- Reading: the sender a message is found by, and when a relay answered.

ALTER TABLE messages ADD COLUMN sender BIGINT NOT NULL DEFAULT 0;  -- hash of account and sender number, 32 bits
ALTER TABLE messages ADD COLUMN t_answer BIGINT;                   -- ms after accept
ALTER TABLE attempts ADD COLUMN t_answer BIGINT;
