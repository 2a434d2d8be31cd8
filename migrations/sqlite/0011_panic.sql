-- A row stays when its panic is lifted, so that its version, which clients are told as a part of the one in `m/`, grows with each act and
-- never repeats. `lifted_at` is NULL while it is in force; actor, reason and `since` are of who raised it last.
ALTER TABLE panic ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE panic ADD COLUMN lifted_at INTEGER;
