-- What waits of a line is found by when it was to begin.
DROP INDEX quota_periods_waiting_of_line;
CREATE INDEX quota_periods_waiting_of_line ON quota_periods (line_id, started_at) WHERE waits_for_generation IS NOT NULL;

-- Rows of statements are compared by their receipts and their amounts, and with refunds that no statement told of.
CREATE INDEX statement_rows_by_receipt ON statement_rows_for_review (short_code, receipt_number);
CREATE INDEX statement_rows_by_amount ON statement_rows_for_review (short_code, amount_cents);
CREATE INDEX refunds_not_stated ON refunds (short_code, amount_cents) WHERE is_stated = 0;
