-- The daily close compares the ledger's account of a short code too, and what went out of it.

-- What M-Pesa held, by the portal's statement: before and after a day, or the part of one that the statement has.
CREATE TABLE stated_balances (
    short_code TEXT NOT NULL,
    -- Its first and its last instant, by M-Pesa's own clock: of one day.
    from_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    opening_cents BIGINT NOT NULL,
    closing_cents BIGINT NOT NULL,
    -- What came from another account of the same short code, or went there: the ledger has them as one.
    within_cents BIGINT NOT NULL,
    CHECK (from_at <= until_at),
    PRIMARY KEY (short_code, from_at, until_at)
);

-- When the money of a refund left: by the statement, or as it was heard; NULL until it has. And whether a statement tells of it.
ALTER TABLE refunds ADD COLUMN gone_at BIGINT;
ALTER TABLE refunds ADD COLUMN is_stated BIGINT NOT NULL DEFAULT 0;
-- Of those that went before this was kept nobody noted whether a statement told: they are held against none.
UPDATE refunds SET gone_at = updated_at, is_stated = 1 WHERE state = 'done';
CREATE INDEX refunds_gone ON refunds (short_code, gone_at) WHERE gone_at IS NOT NULL;

-- Who looked at what waited for a person, and when; NULL and empty where nobody did, or before that was kept.
ALTER TABLE statement_rows_for_review ADD COLUMN looked_at BIGINT;
ALTER TABLE statement_rows_for_review ADD COLUMN looked_at_by TEXT NOT NULL DEFAULT '';
ALTER TABLE pull_rows_for_review ADD COLUMN looked_at BIGINT;
ALTER TABLE pull_rows_for_review ADD COLUMN looked_at_by TEXT NOT NULL DEFAULT '';
ALTER TABLE payment_evidence ADD COLUMN looked_at BIGINT;
ALTER TABLE payment_evidence ADD COLUMN looked_at_by TEXT NOT NULL DEFAULT '';
UPDATE statement_rows_for_review SET
    looked_at = (SELECT MAX(a.at) FROM audit_log a WHERE a.action = 'review.looked_at' AND a.subject = row_sha256),
    looked_at_by = COALESCE((SELECT MAX(a.actor) FROM audit_log a WHERE a.action = 'review.looked_at'
                             AND a.subject = row_sha256), '')
WHERE needs_person = 0;
UPDATE pull_rows_for_review SET
    looked_at = (SELECT MAX(a.at) FROM audit_log a WHERE a.action = 'review.looked_at' AND a.subject = row_sha256),
    looked_at_by = COALESCE((SELECT MAX(a.actor) FROM audit_log a WHERE a.action = 'review.looked_at'
                             AND a.subject = row_sha256), '')
WHERE needs_person = 0;

-- The receipts that a row may be about, with spaces between them: its own, and what it may take back.
ALTER TABLE statement_rows_for_review ADD COLUMN names TEXT NOT NULL DEFAULT '';
UPDATE statement_rows_for_review SET names = receipt_number;
-- What its money is booked as, by a person or because it is a refund of ours; empty while it is booked nowhere by this row.
ALTER TABLE statement_rows_for_review ADD COLUMN settled_as TEXT NOT NULL DEFAULT ''
    CHECK (settled_as IN ('', 'expense', 'bank', 'refund'));
CREATE INDEX statement_rows_by_day ON statement_rows_for_review (short_code, (COALESCE(moved_at, seen_at)));

-- To which short code Pull told of it; empty where that was not kept.
ALTER TABLE pull_rows_for_review ADD COLUMN short_code TEXT NOT NULL DEFAULT '';

-- What was taken at the counter in a day.
CREATE INDEX counter_payments_by_day ON counter_payments (taken_at);
