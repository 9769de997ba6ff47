-- What else customers may type as account when they pay: the number of an invoice, or their account in a former system.
CREATE TABLE payment_references (
    -- In the form in which it is compared: letters in upper case and digits, nothing else.
    reference TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers (id),
    -- The line that it is for; NULL for whichever they pay.
    subscription_id TEXT REFERENCES subscriptions (id),
    -- As it was entered.
    written TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX payment_references_by_customer ON payment_references (customer_id, created_at);
