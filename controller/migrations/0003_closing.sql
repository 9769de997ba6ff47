-- The daily close, and the nightly proof of the books.

-- Spans of which a source has told all that it knows: of M-Pesa's own time. Spans of one source and short code do not touch.
CREATE TABLE told_spans (
    source TEXT NOT NULL CHECK (source IN ('pull', 'statement')),
    short_code TEXT NOT NULL,
    from_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    -- What the short code had before and after, where the source says so.
    opening_cents BIGINT,
    closing_cents BIGINT,
    CHECK (from_at <= until_at),
    PRIMARY KEY (source, short_code, from_at)
);

-- What M-Pesa took and sent to the bank, each with the entry that books it, and when that was by M-Pesa's own clock.
CREATE TABLE mpesa_outgoings (
    cause_kind TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    short_code TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'settlement')),
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    moved_at BIGINT,
    PRIMARY KEY (cause_kind, cause_id)
);
CREATE INDEX mpesa_outgoings_by_day ON mpesa_outgoings (short_code, moved_at);

-- What the nightly proof of the books found.
CREATE TABLE proofs (
    -- Nairobi's midnight before.
    day BIGINT PRIMARY KEY,
    proved_at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    -- One finding a line; empty where everything holds.
    findings TEXT NOT NULL
);
