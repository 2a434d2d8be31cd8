-- The processes that share the database: who they are, how they are doing, and what they ask of each other.

-- `run` is drawn anew by each process: two with one name are told apart by it. `since` is 0 while it looks whether it may join. `embedded` names the target that is this
-- process's own broker. `holds` leases; `wants` the modules, separated by spaces, that it asks others to hand over.
ALTER TABLE instance ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN embedded TEXT COLLATE "C";
ALTER TABLE instance ADD COLUMN holds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN wants TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Each row is written a few times a second.
ALTER TABLE instance SET (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
