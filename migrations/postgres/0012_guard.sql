-- The share that was told push when the guard tripped, in hundredths of a percent; the version grows with each write, `turns` with each trip
-- and each heal: clients are told it as a part of the version in `m/`, so a row stays, and neither ever goes back.
ALTER TABLE guard
    ADD COLUMN share   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN turns   BIGINT NOT NULL DEFAULT 0;
