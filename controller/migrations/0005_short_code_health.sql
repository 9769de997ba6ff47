-- What the page of a short code's health shows, and nothing else kept.

-- How the last sweep of Pull ended, one row for each short code.
CREATE TABLE pull_sweeps (
    short_code TEXT PRIMARY KEY,
    swept_at BIGINT NOT NULL,
    -- 'silent': Pull said that there is nothing, although callbacks told of payments.
    outcome TEXT NOT NULL CHECK (outcome IN ('whole', 'part', 'silent', 'failed')),
    -- Payments that it told of, and how many of them nothing had told of before.
    told BIGINT NOT NULL,
    booked BIGINT NOT NULL,
    -- Why it failed; empty where it did not.
    detail TEXT NOT NULL DEFAULT '',
    -- Sweeps that ended so one after the other, and since when.
    streak BIGINT NOT NULL,
    since_at BIGINT NOT NULL,
    -- When one was last whole; NULL for never.
    whole_at BIGINT
);

-- What `mpesa doctor` said last, one row for each short code.
CREATE TABLE doctor_findings (
    short_code TEXT PRIMARY KEY,
    examined_at BIGINT NOT NULL,
    -- A JSON list of steps with verdict, finding and cure.
    findings TEXT NOT NULL
);

-- When the token was had from Daraja; 0 where that is not known.
ALTER TABLE mpesa_tokens ADD COLUMN fetched_at BIGINT NOT NULL DEFAULT 0;

-- When something last came on an address. The address of a short code is the same each time, so that its entries are
-- appended; each prompt has its own.
CREATE INDEX callback_bodies_by_token ON callback_bodies (callback_token, received_at);
