-- Tokens of operators and producers. `modules` is a JSON array of the modules that a producer is limited to, NULL = none. `role` holds the
-- roles, separated by commas, `hash` is SHA-256 of the token's text.
ALTER TABLE auth_token
    ADD COLUMN modules TEXT,
    ADD COLUMN created_by TEXT;
