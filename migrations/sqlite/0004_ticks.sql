-- Cursors that are times.

-- When the change that an item of the state comes from was numbered: the state in pages of whole ticks. Where the
-- log has forgotten the change, the time of the oldest one that it holds takes its place: not too early, so nobody
-- misses it.
ALTER TABLE entity_state ADD COLUMN sequenced_at INTEGER NOT NULL DEFAULT 0;
UPDATE entity_state SET sequenced_at = coalesce(
    (SELECT c.sequenced_at FROM change_log c
     WHERE c.module = entity_state.module AND c.position = entity_state.position),
    (SELECT min(c.sequenced_at) FROM change_log c WHERE c.module = entity_state.module),
    (SELECT h.sequenced_through FROM module_head h WHERE h.module = entity_state.module),
    0
);
CREATE INDEX entity_state_tick ON entity_state (module, audience, sequenced_at);

-- Where the times of the state end that a new epoch gave it: an older copy of the database was put in place. A
-- time cursor up to here is answered from the state.
ALTER TABLE module_head ADD COLUMN lost_through INTEGER NOT NULL DEFAULT 0;
