-- Claims in the order in which they were written, over all processes: ids go by the clocks of the processes.

ALTER TABLE claims ADD COLUMN no BIGINT NOT NULL AUTO_INCREMENT, ADD UNIQUE KEY claims_no (no);
