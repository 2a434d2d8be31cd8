-- Targets that operators act on.

-- What operators want of a target. One without a row is fed.
CREATE TABLE mirror_target (
    target     VARBINARY(255) NOT NULL,
    standing   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (target)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- When the target was retired; 0 if the cursor counts. Where a target that comes back begins must be said.
ALTER TABLE mirror_cursor ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
