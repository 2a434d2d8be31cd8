-- Targets that operators act on.

-- What operators want of a target. One without a row is fed.
CREATE TABLE mirror_target (
    target     TEXT COLLATE "C" PRIMARY KEY,
    standing   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    reason     TEXT NOT NULL
);

-- When the target was retired; 0 if the cursor counts. Where a target that comes back begins must be said.
ALTER TABLE mirror_cursor ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
