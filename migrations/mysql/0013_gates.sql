-- What the holder of a module's lease knows of its mirror, a row per target, so that every replica gives the same answer to a gate.
-- `seen_at` is when that was written; what is too old is no fact any more. `lag` is NULL while nobody can say how late the target is.
CREATE TABLE mirror_fact (
    target    VARBINARY(255) NOT NULL,
    module    VARBINARY(32) NOT NULL,
    connected BIGINT NOT NULL,
    trouble   LONGTEXT,
    behind    BIGINT NOT NULL,
    lag       BIGINT,
    halted    LONGTEXT,
    token     BIGINT NOT NULL,
    seen_at   BIGINT NOT NULL,
    PRIMARY KEY (target, module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What a verifier found in a period. The `verifier_window` of 0001, which no version has ever used, knows positions and no times, and only
-- some of the outcomes: it stays, since migrations only add. The counts are those of one holder (`token`) and are written over until the period ends, so a repeated write counts nothing twice.
-- `listened` is for how long of the period the subscription stood.
CREATE TABLE verifier_period (
    target     VARBINARY(255) NOT NULL,
    module     VARBINARY(32) NOT NULL,
    began_at   BIGINT NOT NULL,
    token      BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    listened   BIGINT NOT NULL,
    ok         BIGINT NOT NULL,
    missing    BIGINT NOT NULL,
    duplicate  BIGINT NOT NULL,
    reordered  BIGINT NOT NULL,
    previous   BIGINT NOT NULL,
    late       BIGINT NOT NULL,
    outsider   BIGINT NOT NULL,
    unobserved BIGINT NOT NULL,
    PRIMARY KEY (module, target, began_at, token),
    KEY verifier_period_began (began_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Since when a module is at its stage (NULL = since the last act), and which checks were overridden to get there (JSON, with the stage: a
-- replica of before goes on without touching it). NULL = none.
ALTER TABLE module_stage ADD COLUMN entered_at BIGINT;
ALTER TABLE module_stage ADD COLUMN forced LONGTEXT;
