-- What the rows of an upload with a key said: the same key may not bring others. The hash is keyed, of the first so many rows.

ALTER TABLE group_uploads ADD COLUMN hashed INT NOT NULL DEFAULT 0, ADD COLUMN hash BIGINT NOT NULL DEFAULT 0;
