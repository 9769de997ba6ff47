-- Lines that are open on trust: M-Pesa says that they were paid for, and the receipt has not come.

-- From when until when, while it is so; both NULL otherwise.
ALTER TABLE subscriptions ADD COLUMN grace_from BIGINT;
ALTER TABLE subscriptions ADD COLUMN grace_until BIGINT;

-- What was decided of each such request. Where none was given it begins and ends at once.
CREATE TABLE graces (
    intent_id TEXT PRIMARY KEY REFERENCES payment_intents (id),
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    begins_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    is_running BIGINT NOT NULL
);
CREATE INDEX graces_by_subscription ON graces (subscription_id, ends_at);
CREATE INDEX graces_running ON graces (ends_at) WHERE is_running = 1;

CREATE INDEX payment_intents_unreceipted ON payment_intents (updated_at) WHERE state = 'paid_unreceipted';
