-- The key that a key follows, which no two rows have: of replicas that make the next key at once, one does. The first follows none: ''.
-- A replica of before writes NULL, which any number of rows may have.
ALTER TABLE signing_key
    ADD COLUMN follows VARBINARY(255),
    ADD UNIQUE INDEX signing_key_follows (follows);
