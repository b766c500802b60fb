-- Endpoints of customers that are told what became of messages.

-- `owner` is the incarnation of the process that calls it; a process that lost its node owns nothing. `version` rises with
-- every change of what the owner keeps in memory.
CREATE TABLE webhooks (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  url TEXT NOT NULL,
  events TEXT NOT NULL,           -- names of types, separated by spaces; empty: all
  description TEXT NOT NULL,
  include_pii SMALLINT NOT NULL,
  batch SMALLINT NOT NULL,        -- most events of a call
  concurrency SMALLINT NOT NULL,  -- most calls at once
  schedule TEXT NOT NULL,         -- minutes, separated by spaces
  header_name TEXT NULL,          -- an extra header
  header_sealed BLOB NULL,
  secret_sealed BLOB NOT NULL,
  old_secret_sealed BLOB NULL,    -- signs beside the other
  old_until BIGINT NOT NULL,      -- until then, ms since the Unix epoch
  disabled TEXT NOT NULL,         -- why nothing is sent; empty: it is
  created BIGINT NOT NULL,        -- µs since the Unix epoch
  read_to BIGINT NOT NULL,        -- position of the last event that was taken
  owner BIGINT NOT NULL,
  version BIGINT NOT NULL,
  KEY webhooks_account (account, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Events that were taken and are neither delivered nor given up.
CREATE TABLE webhook_due (
  webhook BIGINT NOT NULL,
  position BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  message BIGINT NOT NULL,
  request BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  status SMALLINT NOT NULL,
  code SMALLINT NOT NULL,
  attempt SMALLINT NOT NULL,
  relay SMALLINT NULL,
  at BIGINT NOT NULL,             -- µs since the Unix epoch
  delivery BIGINT NOT NULL,       -- 0: none yet
  PRIMARY KEY (webhook, position)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One row a delivery, with its last call.
CREATE TABLE webhook_deliveries (
  id BIGINT NOT NULL PRIMARY KEY,
  webhook BIGINT NOT NULL,
  message BIGINT NOT NULL,        -- 0: events of several
  position BIGINT NOT NULL,       -- of its first event
  positions BLOB NULL,            -- of all, 8 bytes each, where they are told as a list
  kind SMALLINT NOT NULL,         -- of its first event
  state SMALLINT NOT NULL,        -- 0 pending, 1 delivered, 2 exhausted
  calls SMALLINT NOT NULL,
  failures SMALLINT NOT NULL,     -- since it was made or replayed
  due BIGINT NOT NULL,            -- ms since the Unix epoch
  at BIGINT NOT NULL,             -- start of the last call, µs since the Unix epoch; 0: none yet
  http SMALLINT NOT NULL,         -- status of the answer; 0: none
  took_ms BIGINT NOT NULL,
  reason TEXT NULL,               -- why there was no answer
  answer_sealed BLOB NULL,        -- the beginning of the answer's body
  KEY webhook_deliveries_webhook (webhook, id),
  KEY webhook_deliveries_message (message)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
