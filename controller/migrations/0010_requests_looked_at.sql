-- Whether a person has looked at a request whose end nobody knows: it leaves the list of what is to be checked, and its receipt
-- is taken as before. Another state is another thing to look at.
ALTER TABLE payment_intents ADD COLUMN is_looked_at BIGINT NOT NULL DEFAULT 0;

DROP INDEX payment_intents_for_review;
-- Holds only what a person has to look at.
CREATE INDEX payment_intents_for_review ON payment_intents (updated_at, id)
    WHERE state IN ('paid_unreceipted', 'review') AND is_looked_at = 0;
