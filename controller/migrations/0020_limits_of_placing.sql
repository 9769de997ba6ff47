-- What of other people's payments somebody gave to customers: assigned, moved or shared out, within the limit of a day.
CREATE TABLE placed_payments (
    placed_by TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    PRIMARY KEY (placed_by, placed_at, payment_id)
);

-- When the second person agreed to a refund; NULL where nobody had to, or before that was kept.
ALTER TABLE refunds ADD COLUMN approved_at BIGINT;
CREATE INDEX refunds_by_approver ON refunds (approved_by, approved_at) WHERE approved_at IS NOT NULL;
