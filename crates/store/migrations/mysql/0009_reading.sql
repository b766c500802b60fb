-- Reading: who asked for a request, what a claim knew, when a relay answered, and search by sender, label and department code.

ALTER TABLE requests ADD COLUMN trace VARCHAR(64);
ALTER TABLE runs ADD COLUMN note BLOB;
ALTER TABLE messages ADD COLUMN sender BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN t_answer BIGINT;
ALTER TABLE messages ADD KEY messages_sender (sender, id);
ALTER TABLE attempts ADD COLUMN t_answer BIGINT;

-- Which milliseconds have messages with a tag: `bucket` is an id without its sequence number.
CREATE TABLE tags (
  tag BIGINT NOT NULL,
  bucket BIGINT NOT NULL,
  PRIMARY KEY (tag, bucket)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  PARTITION BY RANGE (bucket) (PARTITION pmax VALUES LESS THAN MAXVALUE);

-- Messages up to this id have no sender and no tags to be found by.
INSERT IGNORE INTO facts (name, value) SELECT 'tagged-after', COALESCE(MAX(last_id), 0) FROM requests;
