-- Releases of the agent, as they were signed; their files are in the data directory. One for each version and kind of machine.
CREATE TABLE releases (
    file_sha256 TEXT PRIMARY KEY,
    version     TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    file_bytes  BIGINT NOT NULL,
    -- JSON, as it was signed, and the signature in hexadecimal digits.
    manifest    TEXT   NOT NULL,
    signature   TEXT   NOT NULL,
    added_at    BIGINT NOT NULL,
    UNIQUE (version, target)
);

-- How a version goes out to the sites. At most one is not over: one is started in the transaction that looks for another.
CREATE TABLE rollouts (
    -- From 1; what sites are told grows with it, so that one that failed is tried again by the next.
    number        BIGINT PRIMARY KEY,
    version       TEXT   NOT NULL,
    -- Per cent of the sites, with commas between.
    waves         TEXT   NOT NULL,
    soak_ms       BIGINT NOT NULL,
    -- running, paused, stopped, done
    standing      TEXT   NOT NULL,
    why           TEXT   NOT NULL DEFAULT '',
    -- From 0.
    wave          BIGINT NOT NULL,
    wave_began_at BIGINT NOT NULL,
    started_by    TEXT   NOT NULL,
    started_at    BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL
);

-- The sites of each, and how each stands by its own word.
CREATE TABLE rollout_sites (
    rollout    BIGINT NOT NULL REFERENCES rollouts (number),
    site_id    TEXT   NOT NULL REFERENCES sites (id),
    wave       BIGINT NOT NULL,
    -- A word of the contract; empty while the site said nothing.
    standing   TEXT   NOT NULL DEFAULT '',
    have_bytes BIGINT NOT NULL DEFAULT 0,
    detail     TEXT   NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (rollout, site_id)
);
CREATE INDEX rollout_sites_of_site ON rollout_sites (site_id, rollout);
