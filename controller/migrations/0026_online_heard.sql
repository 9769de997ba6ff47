-- When the newest event of a line's coming or going happened, also where it changed nothing: what is told of the time before it, later, is
-- history and changes nothing.
ALTER TABLE subscriptions ADD COLUMN online_heard_at BIGINT;
