-- Settings of agents that head office sets, by their names in agent.toml.
CREATE TABLE site_settings (
    site_id TEXT NOT NULL REFERENCES sites (id),
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (site_id, name)
);
-- Which of them a site has: revision grows with each change, heard_revision is the one that its agent last spoke of. heard_run
-- names the run of the agent and the life of its store; refused has a line for each value that it does not take.
CREATE TABLE site_settings_standing (
    site_id        TEXT   NOT NULL PRIMARY KEY REFERENCES sites (id),
    revision       BIGINT NOT NULL,
    set_by         TEXT   NOT NULL,
    set_at         BIGINT NOT NULL,
    heard_revision BIGINT NOT NULL,
    heard_run      TEXT   NOT NULL,
    heard_at       BIGINT,
    is_allowed     BIGINT NOT NULL,
    is_kept        BIGINT NOT NULL,
    refused        TEXT   NOT NULL
);
