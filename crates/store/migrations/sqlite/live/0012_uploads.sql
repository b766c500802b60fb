-- What the rows of an upload with a key said: the same key may not bring others.

ALTER TABLE group_uploads ADD COLUMN hashed INTEGER NOT NULL DEFAULT 0; -- rows from its first on that the hash is of
ALTER TABLE group_uploads ADD COLUMN hash BIGINT NOT NULL DEFAULT 0;    -- keyed, each row's over the one before
