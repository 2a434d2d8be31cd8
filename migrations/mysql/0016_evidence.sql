-- Since when it would be known if a client of a module had been seen: `since` begins anew after a gap, and `through` is up to when it is
-- known. Who was seen before `remembered` last may be forgotten by now.
CREATE TABLE census_kept (
    module     VARBINARY(32) NOT NULL,
    since      BIGINT NOT NULL,
    through    BIGINT NOT NULL,
    remembered BIGINT NOT NULL,
    PRIMARY KEY (module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The gateways that keep it, and up to when each has written what it saw. One that ends takes its row along: what is left behind and old is
-- of one that may have seen clients of whom nobody knows.
CREATE TABLE census_keeper (
    instance VARBINARY(255) NOT NULL,
    through  BIGINT NOT NULL,
    PRIMARY KEY (instance)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The version of the act that wrote `entered_at` and `forced`: where the row has another one, a replica of before has acted since, which
-- leaves both as they were.
ALTER TABLE module_stage ADD COLUMN entered_version BIGINT;
UPDATE module_stage SET entered_version = version WHERE entered_at IS NOT NULL;
