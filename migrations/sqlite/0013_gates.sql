-- What the holder of a module's lease knows of its mirror, a row per target, so that every replica gives the same answer to a gate.
-- `seen_at` is when that was written; what is too old is no fact any more. `lag` is NULL while nobody can say how late the target is.
CREATE TABLE mirror_fact (
    target    TEXT NOT NULL,
    module    TEXT NOT NULL,
    connected INTEGER NOT NULL,
    trouble   TEXT,
    behind    INTEGER NOT NULL,
    lag       INTEGER,
    halted    TEXT,
    token     INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (target, module)
);

-- What a verifier found in a period. The `verifier_window` of 0001, which no version has ever used, knows positions and no times, and only
-- some of the outcomes: it stays, since migrations only add. The counts are those of one holder (`token`) and are written over until the period ends, so a repeated write counts nothing twice.
-- `listened` is for how long of the period the subscription stood.
CREATE TABLE verifier_period (
    target     TEXT NOT NULL,
    module     TEXT NOT NULL,
    began_at   INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    listened   INTEGER NOT NULL,
    ok         INTEGER NOT NULL,
    missing    INTEGER NOT NULL,
    duplicate  INTEGER NOT NULL,
    reordered  INTEGER NOT NULL,
    previous   INTEGER NOT NULL,
    late       INTEGER NOT NULL,
    outsider   INTEGER NOT NULL,
    unobserved INTEGER NOT NULL,
    PRIMARY KEY (module, target, began_at, token)
);
CREATE INDEX verifier_period_began ON verifier_period (began_at);

-- Since when a module is at its stage (NULL = since the last act), and which checks were overridden to get there (JSON, with the stage: a
-- replica of before goes on without touching it). NULL = none.
ALTER TABLE module_stage ADD COLUMN entered_at INTEGER;
ALTER TABLE module_stage ADD COLUMN forced TEXT;
