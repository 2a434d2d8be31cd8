-- Pruning, and logs that keep only the newest change of each key.

-- Below it rows may be missing because a later change of their key is there: such holes lose nothing. It is
-- raised before rows go.
ALTER TABLE module_head ADD COLUMN compacted_through INTEGER NOT NULL DEFAULT 0;

-- Which position a log had reached by when: how old a tombstone is at least, also after its row is pruned.
CREATE TABLE log_mark (
    module   TEXT NOT NULL,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (module, position)
);

CREATE INDEX entity_state_tombstone ON entity_state (module, position) WHERE op = 'delete';
