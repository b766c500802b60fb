-- Accounts, keys, sender numbers, money, relays and distributions, as in the embedded schema.

CREATE TABLE accounts (
  id BIGINT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  created BIGINT NOT NULL,
  suspended SMALLINT NOT NULL DEFAULT 0,
  rate_per_s BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE api_keys (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT,
  kind VARCHAR(32) NOT NULL,
  hash VARBINARY(32) NOT NULL,
  prefix VARCHAR(32) NOT NULL,
  scopes TEXT NOT NULL,
  created BIGINT NOT NULL,
  revoked BIGINT,
  UNIQUE KEY api_keys_hash (hash),
  KEY api_keys_by_account (account, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE senders (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  number_sealed BLOB NOT NULL,
  number_hash BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL CHECK (state IN ('pending', 'active')),
  protected SMALLINT NOT NULL DEFAULT 0,
  code_hash BIGINT,
  code_expires BIGINT,
  code_tries SMALLINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL,
  verified BIGINT,
  deleted BIGINT NOT NULL DEFAULT 0,
  UNIQUE KEY senders_number (account, number_hash, deleted)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE code_sends (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  number_hash BIGINT NOT NULL,
  at BIGINT NOT NULL,
  KEY code_sends_by_number (number_hash, at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE relays (
  no SMALLINT NOT NULL PRIMARY KEY CHECK (no BETWEEN 0 AND 62),
  id BIGINT NOT NULL,
  name VARCHAR(100) NOT NULL,
  kind VARCHAR(32) NOT NULL,
  address TEXT NOT NULL,
  system_id TEXT NOT NULL,
  password_sealed BLOB NOT NULL,
  rate_per_s BIGINT NOT NULL,
  send_window BIGINT NOT NULL,
  binds SMALLINT NOT NULL,
  resend_unknown SMALLINT NOT NULL,
  settings TEXT NOT NULL,
  created BIGINT NOT NULL,
  deleted BIGINT NOT NULL DEFAULT 0,
  UNIQUE KEY relays_id (id),
  UNIQUE KEY relays_name (name, deleted)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE distributions (
  account BIGINT NOT NULL,
  channel SMALLINT NOT NULL,
  shares TEXT NOT NULL,
  updated BIGINT NOT NULL,
  PRIMARY KEY (account, channel)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE distribution_state (
  account BIGINT NOT NULL,
  channel SMALLINT NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (account, channel)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE prices (
  channel SMALLINT NOT NULL PRIMARY KEY,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE balances (
  account BIGINT NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (account, unit)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ledger (
  seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account BIGINT NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,
  balance BIGINT NOT NULL CHECK (balance >= 0),
  cause VARCHAR(200) NOT NULL,
  at BIGINT NOT NULL,
  UNIQUE KEY ledger_cause (account, unit, cause),
  KEY ledger_by_account (account, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE vault_keys (
  key_id SMALLINT NOT NULL PRIMARY KEY,
  sealed BLOB NOT NULL,
  hash BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
