-- The state by time, only where it is read by time.

-- It costs each numbered change a page, and only modules with a time cursor read by it: whoever starts with one makes
-- it. What is correct does not hang on it.
DROP INDEX IF EXISTS entity_state_tick;
