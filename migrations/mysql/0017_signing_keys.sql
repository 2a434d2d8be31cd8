-- From when on a key signs, which is after every replica has read it. What it signs is believed until `retires_at`, which it gets from its
-- successor.
ALTER TABLE signing_key ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
