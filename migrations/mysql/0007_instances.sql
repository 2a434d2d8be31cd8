-- The processes that share the database: who they are, how they are doing, and what they ask of each other.

-- `run` is drawn anew by each process: two with one name are told apart by it. `since` is 0 while it looks whether it may join. `embedded` names the target that is this
-- process's own broker. `holds` leases; `wants` the modules, separated by spaces, that it asks others to hand over.
ALTER TABLE instance
    ADD COLUMN run        BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN since      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN embedded   VARBINARY(255),
    ADD COLUMN holds      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN wants      VARBINARY(4096) NOT NULL DEFAULT '';
