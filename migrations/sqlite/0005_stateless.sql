-- What the state of a module lacks.

-- The first position that was numbered while `modules[].state` was off, and is not in the state yet; 0 if the state is
-- whole. Where the newest change is not in the state, nobody knows since when: then the whole log has to tell.
ALTER TABLE module_head ADD COLUMN stateless_from INTEGER NOT NULL DEFAULT 0;
UPDATE module_head SET stateless_from = 1
WHERE EXISTS (
    SELECT 1 FROM change_log c
    LEFT JOIN entity_state s ON s.module = c.module AND s.audience = c.audience
                            AND s.entity_key = c.entity_key AND s.position = c.position
    WHERE c.module = module_head.module AND c.position = module_head.head AND s.module IS NULL
);
