-- Accounts, keys, sender numbers, money, relays and distributions: small tables, read at every accept.
-- Times are microseconds since the epoch, UTC. A `deleted` of 0 means alive, so that unique keys can contain it.

CREATE TABLE accounts (
  id         BIGINT   NOT NULL PRIMARY KEY,
  name       TEXT     NOT NULL,
  created    BIGINT   NOT NULL,
  suspended  SMALLINT NOT NULL DEFAULT 0,
  rate_per_s BIGINT   NOT NULL
);

-- `account` is NULL for an operator key. `hash` is the SHA-256 of the key: a random key of 256 bits needs no slow hash.
CREATE TABLE api_keys (
  id      BIGINT NOT NULL PRIMARY KEY,
  account BIGINT,
  kind    TEXT   NOT NULL,
  hash    BLOB   NOT NULL UNIQUE,
  prefix  TEXT   NOT NULL,
  scopes  TEXT   NOT NULL,
  created BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX api_keys_by_account ON api_keys (account, id);

CREATE TABLE senders (
  id            BIGINT   NOT NULL PRIMARY KEY,
  account       BIGINT   NOT NULL,
  number_sealed BLOB     NOT NULL,
  number_hash   BIGINT   NOT NULL,
  state         TEXT     NOT NULL CHECK (state IN ('pending', 'active')),
  protected     SMALLINT NOT NULL DEFAULT 0,
  code_hash     BIGINT,
  code_expires  BIGINT,
  code_tries    SMALLINT NOT NULL DEFAULT 0,
  created       BIGINT   NOT NULL,
  verified      BIGINT,
  deleted       BIGINT   NOT NULL DEFAULT 0,
  UNIQUE (account, number_hash, deleted)
);

-- One row for each verification code of the last hour: the resend limit of a number, whoever registers it.
CREATE TABLE code_sends (
  id          INTEGER PRIMARY KEY,
  number_hash BIGINT NOT NULL,
  at          BIGINT NOT NULL
);
CREATE INDEX code_sends_by_number ON code_sends (number_hash, at);

-- `no` is written into every claim, one byte a message, so it is never given again.
CREATE TABLE relays (
  no              SMALLINT NOT NULL PRIMARY KEY CHECK (no BETWEEN 0 AND 62),
  id              BIGINT   NOT NULL UNIQUE,
  name            TEXT     NOT NULL,
  kind            TEXT     NOT NULL,
  address         TEXT     NOT NULL,
  system_id       TEXT     NOT NULL,
  password_sealed BLOB     NOT NULL,
  rate_per_s      BIGINT   NOT NULL,
  send_window     BIGINT   NOT NULL,
  binds           SMALLINT NOT NULL,
  resend_unknown  SMALLINT NOT NULL,
  settings        TEXT     NOT NULL,
  created         BIGINT   NOT NULL,
  deleted         BIGINT   NOT NULL DEFAULT 0,
  UNIQUE (name, deleted)
);

-- `shares` is a JSON object from relay number to share in percent.
CREATE TABLE distributions (
  account BIGINT   NOT NULL,
  channel SMALLINT NOT NULL,
  shares  TEXT     NOT NULL,
  updated BIGINT   NOT NULL,
  PRIMARY KEY (account, channel)
);

CREATE TABLE distribution_state (
  account BIGINT   NOT NULL,
  channel SMALLINT NOT NULL,
  state   BLOB     NOT NULL,
  PRIMARY KEY (account, channel)
);

-- A channel without a row costs its default weight.
CREATE TABLE prices (
  channel SMALLINT NOT NULL PRIMARY KEY,
  unit    SMALLINT NOT NULL,
  amount  BIGINT   NOT NULL CHECK (amount >= 0)
);

CREATE TABLE balances (
  account BIGINT   NOT NULL,
  unit    SMALLINT NOT NULL,
  amount  BIGINT   NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (account, unit)
);

-- Append only. The sum of an (account, unit) is its balance.
CREATE TABLE ledger (
  seq     INTEGER  PRIMARY KEY,
  account BIGINT   NOT NULL,
  unit    SMALLINT NOT NULL,
  amount  BIGINT   NOT NULL,
  balance BIGINT   NOT NULL CHECK (balance >= 0),
  cause   TEXT     NOT NULL,
  at      BIGINT   NOT NULL,
  UNIQUE (account, unit, cause)
);
CREATE INDEX ledger_by_account ON ledger (account, seq);

-- A known sentence sealed and hashed with every key in use: tells another key file from the right one at start.
CREATE TABLE vault_keys (
  key_id SMALLINT NOT NULL PRIMARY KEY,
  sealed BLOB     NOT NULL,
  hash   BIGINT   NOT NULL
);
