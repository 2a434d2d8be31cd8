-- The share that was told push when the guard tripped, in hundredths of a percent; the version grows with each write, `turns` with each trip
-- and each heal: clients are told it as a part of the version in `m/`, so a row stays, and neither ever goes back.
ALTER TABLE guard ADD COLUMN share   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guard ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE guard ADD COLUMN turns   INTEGER NOT NULL DEFAULT 0;
