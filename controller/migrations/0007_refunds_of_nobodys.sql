-- Why a payment was nobody's before it was to go back: so it waits again if it does not go. Those that were asked for before
-- this was kept wait for a person, as they did.
ALTER TABLE refunds ADD COLUMN was_no_owner TEXT NOT NULL DEFAULT 'taken_back';
