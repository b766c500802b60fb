-- Which processes serve the API: without a shared cache each enforces its share of an account's rate.

ALTER TABLE leases ADD COLUMN api SMALLINT NOT NULL DEFAULT 0;
