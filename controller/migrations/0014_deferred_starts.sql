-- Paid time begins when its site has heard of it.

-- While a site has not stored a period that was bought: which site, and the generation that tells of it. Both NULL otherwise.
ALTER TABLE quota_periods ADD COLUMN waits_for_site TEXT;
ALTER TABLE quota_periods ADD COLUMN waits_for_generation BIGINT;
CREATE INDEX quota_periods_waiting ON quota_periods (waits_for_site, waits_for_generation)
    WHERE waits_for_generation IS NOT NULL;
CREATE INDEX quota_periods_waiting_of_line ON quota_periods (line_id) WHERE waits_for_generation IS NOT NULL;

-- How much later what a payment bought begins than it would have, had its site been there.
ALTER TABLE payment_traces ADD COLUMN deferred_ms BIGINT NOT NULL DEFAULT 0;
