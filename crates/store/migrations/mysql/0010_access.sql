-- Who may come in with which key from where, who belongs to a team, and who changed what, as in the embedded schema.

ALTER TABLE api_keys ADD COLUMN name VARCHAR(200) NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN active SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN ip_allow VARCHAR(2000) NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN signing VARCHAR(16) NOT NULL DEFAULT 'none';
ALTER TABLE api_keys ADD COLUMN signing_sealed VARBINARY(200);

ALTER TABLE requests ADD COLUMN api_key BIGINT NOT NULL DEFAULT 0;

CREATE TABLE team_numbers (
  account BIGINT NOT NULL,
  number_hash BIGINT NOT NULL,
  number_sealed BLOB NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, number_hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE nonces (
  api_key BIGINT NOT NULL,
  nonce BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (api_key, nonce),
  KEY nonces_by_expiry (expires)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE audit_log (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  api_key BIGINT NOT NULL,
  role VARCHAR(32) NOT NULL,
  ip VARCHAR(64) NOT NULL,
  request_id VARCHAR(80) NOT NULL,
  operation VARCHAR(80) NOT NULL,
  target VARCHAR(200) NOT NULL,
  status SMALLINT NOT NULL,
  code SMALLINT NOT NULL,
  KEY audit_log_by_account (account, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
