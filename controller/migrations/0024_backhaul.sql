-- What a site's agent last said of its line to head office.
CREATE TABLE site_backhaul (
    site_id            TEXT   NOT NULL PRIMARY KEY REFERENCES sites (id),
    hourly_bytes       BIGINT NOT NULL,
    keep_alive_seconds BIGINT NOT NULL,
    backlog_records    BIGINT NOT NULL,
    said_at            BIGINT NOT NULL
);
-- What the line carried in a month (such as 202611, in East Africa Time), by what it was for.
CREATE TABLE site_backhaul_months (
    site_id    TEXT   NOT NULL REFERENCES sites (id),
    month      BIGINT NOT NULL,
    part       TEXT   NOT NULL,
    up_bytes   BIGINT NOT NULL,
    down_bytes BIGINT NOT NULL,
    PRIMARY KEY (site_id, month, part)
);
