-- The newest contract that a site's agent speaks, as its hello says; null before the first one heard by this release.
ALTER TABLE sites ADD COLUMN protocol_newest BIGINT;
-- Of which file a site of a rollout speaks, and when it last said something new of it.
ALTER TABLE rollout_sites ADD COLUMN file_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE rollout_sites ADD COLUMN progress_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX rollout_sites_of_standing ON rollout_sites (rollout, standing);
