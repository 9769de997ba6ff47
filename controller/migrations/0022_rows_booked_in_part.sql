-- What of a row's money is booked already, in cents: the row has another amount than what is booked under its number, and only
-- the rest of it can be booked by hand. Below zero went out.
ALTER TABLE statement_rows_for_review ADD COLUMN booked_cents BIGINT NOT NULL DEFAULT 0;
