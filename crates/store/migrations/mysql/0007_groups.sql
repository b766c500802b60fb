-- Groups, as in the embedded schema.

CREATE TABLE send_groups (
  id BIGINT NOT NULL PRIMARY KEY,
  account BIGINT NOT NULL,
  state SMALLINT NOT NULL,
  phase SMALLINT NOT NULL,
  name TEXT,
  defaults MEDIUMBLOB NOT NULL,
  approval SMALLINT NOT NULL,
  send_at BIGINT NOT NULL,
  rows_received INT NOT NULL,
  accepted INT NOT NULL,
  rejected INT NOT NULL,
  unit SMALLINT NOT NULL,
  amount BIGINT NOT NULL,
  first_id BIGINT NOT NULL,
  last_id BIGINT NOT NULL,
  touched BIGINT NOT NULL,
  upload BIGINT NOT NULL,
  sent BIGINT NOT NULL,
  sent_by BIGINT NOT NULL,
  approved_by BIGINT NOT NULL,
  finished BIGINT NOT NULL,
  canceled INT NOT NULL,
  stopped_to BIGINT NOT NULL,
  KEY send_groups_account (account, id),
  KEY send_groups_phase (phase, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE group_slices (
  first BIGINT NOT NULL PRIMARY KEY,
  request BIGINT NOT NULL,
  count INT NOT NULL,
  lane SMALLINT NOT NULL,
  expires BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  skip INT NOT NULL,
  KEY group_slices_request (request, first)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE group_errors (
  request BIGINT NOT NULL,
  row_no INT NOT NULL,
  seq SMALLINT NOT NULL,
  code INT NOT NULL,
  field TEXT NOT NULL,
  detail TEXT NOT NULL,
  form SMALLINT NOT NULL,
  sealed BLOB NOT NULL,
  extra TEXT,
  PRIMARY KEY (request, row_no, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE group_uploads (
  request BIGINT NOT NULL,
  upload BIGINT NOT NULL,
  first_row INT NOT NULL,
  row_count INT NOT NULL,
  PRIMARY KEY (request, upload)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
