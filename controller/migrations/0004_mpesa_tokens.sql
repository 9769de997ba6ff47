-- Access tokens of Daraja, one for each app: a new one kills the one before it, so that all processes share the row.
-- The token is sealed with a key that is made of the app's secret, which is not in the database.
CREATE TABLE mpesa_tokens (
    app TEXT PRIMARY KEY,
    sealed_token TEXT NOT NULL,
    good_until BIGINT NOT NULL,
    fetched_by TEXT NOT NULL,
    fetching_until BIGINT NOT NULL
);
