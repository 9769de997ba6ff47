-- The short name by which running totals of a session are told, as a number; below zero for one that is not known. Among the running
-- sessions of a site two may have the same.
ALTER TABLE usage_sessions ADD COLUMN short_name BIGINT NOT NULL DEFAULT -1;
CREATE INDEX usage_sessions_by_short_name ON usage_sessions (site_id, short_name) WHERE is_ended = 0 AND short_name >= 0;
