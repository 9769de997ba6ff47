-- How much later a period begins and ends than its payment, because its site was away when that came.
ALTER TABLE payment_traces ADD COLUMN added_ms BIGINT NOT NULL DEFAULT 0;
