-- The same column as on a database, where claims of several processes need an order of their own. Here one process writes
-- them in the order of their ids.

ALTER TABLE claims ADD COLUMN no BIGINT NOT NULL DEFAULT 0;
