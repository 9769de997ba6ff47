-- The table that somebody brought for the rows of a router, until they are taken over, for 14 days at most: each page of the
-- sheet is filled from it. A later one replaces it.
CREATE TABLE adoption_tables (
    site_id TEXT NOT NULL REFERENCES sites (id),
    router_name TEXT NOT NULL,
    body TEXT NOT NULL,
    kept_at BIGINT NOT NULL,
    PRIMARY KEY (site_id, router_name)
);
