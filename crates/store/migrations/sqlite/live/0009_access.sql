-- Who may come in with which key from where, who belongs to a team, and who changed what.

-- `ip_allow` holds networks parted by spaces, '' allows all. `signing` is none, optional or required; `signing_sealed` is the sealed
-- secret that signs requests.
ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN active SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN ip_allow TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN signing TEXT NOT NULL DEFAULT 'none';
ALTER TABLE api_keys ADD COLUMN signing_sealed BLOB;

-- The key that a request came with, 0 for those of Bongsu itself and of before.
ALTER TABLE requests ADD COLUMN api_key BIGINT NOT NULL DEFAULT 0;

-- Numbers that keys of the kind team may send to.
CREATE TABLE team_numbers (
  account       BIGINT NOT NULL,
  number_hash   BIGINT NOT NULL,
  number_sealed BLOB   NOT NULL,
  created       BIGINT NOT NULL,
  PRIMARY KEY (account, number_hash)
);

-- Signatures that were used, until they are too old to be used again.
CREATE TABLE nonces (
  api_key BIGINT NOT NULL,
  nonce   BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (api_key, nonce)
);
CREATE INDEX nonces_by_expiry ON nonces (expires);

-- One row for each call that changed something, or was refused to. `account` is the account that it was about, 0 for none. A
-- `status` of 0 is a change whose answer never left.
CREATE TABLE audit_log (
  id         BIGINT   NOT NULL PRIMARY KEY,
  account    BIGINT   NOT NULL,
  api_key    BIGINT   NOT NULL,
  role       TEXT     NOT NULL,
  ip         TEXT     NOT NULL,
  request_id TEXT     NOT NULL,
  operation  TEXT     NOT NULL,
  target     TEXT     NOT NULL,
  status     SMALLINT NOT NULL,
  code       SMALLINT NOT NULL
);
CREATE INDEX audit_log_by_account ON audit_log (account, id);
