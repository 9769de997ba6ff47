-- What 0001 says of types and constraints holds here too.

-- Texts to customers ---------------------------------------------------------------------------------------------

-- What of the settings every process that books something has to know.
CREATE TABLE message_policy (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    is_on BIGINT NOT NULL,
    language TEXT NOT NULL,
    -- Minutes since Nairobi's midnight.
    quiet_from BIGINT NOT NULL,
    quiet_until BIGINT NOT NULL,
    a_day BIGINT NOT NULL,
    days_kept BIGINT NOT NULL,
    -- 128 random bits in lower-case hex: the path of delivery reports. It stays once it is made.
    report_token TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Only what staff changed; an empty one is not sent.
CREATE TABLE message_templates (
    occasion TEXT NOT NULL,
    language TEXT NOT NULL CHECK (language IN ('en', 'sw')),
    body TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (occasion, language)
);

-- Written in the transaction of their cause. An id begins with the time, so that a range of time is a range of ids.
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    -- NULL for a test.
    customer_id TEXT REFERENCES customers (id),
    subscription_id TEXT REFERENCES subscriptions (id),
    occasion TEXT NOT NULL,
    cause TEXT NOT NULL,
    phone TEXT NOT NULL,
    language TEXT NOT NULL,
    body TEXT NOT NULL,
    segments BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'unknown', 'delivered', 'failed', 'dropped')),
    reason TEXT NOT NULL DEFAULT '',
    provider_id TEXT,
    cost TEXT NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    -- 0 where it answers what somebody does just now.
    can_wait BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    -- The end that it speaks of: it is wrong once that of the line is another. NULL for every other text.
    paid_until BIGINT,
    queued_at BIGINT NOT NULL,
    attempted_at BIGINT,
    settled_at BIGINT,
    UNIQUE (customer_id, occasion, cause)
);
-- Holds only what waits.
CREATE INDEX messages_queued ON messages (can_wait, next_attempt_at, id) WHERE state = 'queued';
CREATE INDEX messages_by_provider_id ON messages (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX messages_by_customer ON messages (customer_id, id);
CREATE INDEX messages_by_phone ON messages (phone, id);
CREATE INDEX messages_by_state ON messages (state, id);
CREATE INDEX messages_by_occasion ON messages (occasion, id);

-- Up to which end of a period each distance to it was told, and which line that ends then.
CREATE TABLE message_places (
    occasion TEXT PRIMARY KEY,
    paid_until BIGINT NOT NULL,
    line_id TEXT NOT NULL
);

-- Delivery reports that came before their texts were known by the provider's name.
CREATE TABLE message_reports (
    provider_id TEXT PRIMARY KEY,
    has_arrived BIGINT NOT NULL,
    reason TEXT NOT NULL,
    received_at BIGINT NOT NULL
);
