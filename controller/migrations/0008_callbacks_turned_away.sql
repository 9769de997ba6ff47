-- From where callbacks came last that were turned away, for the doctor: the settings may be wrong, or the proxy's.
CREATE TABLE callbacks_turned_away (
    source TEXT PRIMARY KEY,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);
