-- Pruning, and logs that keep only the newest change of each key.

-- Below it rows may be missing because a later change of their key is there: such holes lose nothing. It is
-- raised before rows go.
ALTER TABLE module_head ADD COLUMN compacted_through BIGINT NOT NULL DEFAULT 0;

-- Which position a log had reached by when: how old a tombstone is at least, also after its row is pruned.
CREATE TABLE log_mark (
    module   VARBINARY(32) NOT NULL,
    position BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (module, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX entity_state_tombstone ON entity_state (module, op, position);
