-- The processes that share the database: who they are, how they are doing, and what they ask of each other.

-- `run` is drawn anew by each process: two with one name are told apart by it. `since` is 0 while it looks whether it may join. `embedded` names the target that is this
-- process's own broker. `holds` leases; `wants` the modules, separated by spaces, that it asks others to hand over.
ALTER TABLE instance ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN embedded TEXT;
ALTER TABLE instance ADD COLUMN holds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN wants TEXT NOT NULL DEFAULT '';
