-- Since when it would be known if a client of a module had been seen: `since` begins anew after a gap, and `through` is up to when it is
-- known. Who was seen before `remembered` last may be forgotten by now.
CREATE TABLE census_kept (
    module     TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    through    INTEGER NOT NULL,
    remembered INTEGER NOT NULL,
    PRIMARY KEY (module)
) WITHOUT ROWID;

-- The gateways that keep it, and up to when each has written what it saw. One that ends takes its row along: what is left behind and old is
-- of one that may have seen clients of whom nobody knows.
CREATE TABLE census_keeper (
    instance TEXT    NOT NULL,
    through  INTEGER NOT NULL,
    PRIMARY KEY (instance)
) WITHOUT ROWID;

-- The version of the act that wrote `entered_at` and `forced`: where the row has another one, a replica of before has acted since, which
-- leaves both as they were.
ALTER TABLE module_stage ADD COLUMN entered_version INTEGER;
UPDATE module_stage SET entered_version = version WHERE entered_at IS NOT NULL;
