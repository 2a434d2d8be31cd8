-- What was counted, by hour: the replicas add up in one row. `module` is '-' for what belongs to no module; there `statements` are those of
-- whole processes, whoever they were for. `stage` is the highest step of the ladder that was asked for within the hour (0 = proxy), and
-- somebody counted from `counted_from` to `counted_to`.
CREATE TABLE usage_hourly (
    hour         INTEGER NOT NULL,
    module       TEXT NOT NULL,
    transport    TEXT NOT NULL,
    stage        INTEGER NOT NULL,
    counted_from INTEGER NOT NULL,
    counted_to   INTEGER NOT NULL,
    requests     INTEGER NOT NULL,
    idle         INTEGER NOT NULL,
    memory       INTEGER NOT NULL,
    refused      INTEGER NOT NULL,
    statements   INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    messages     INTEGER NOT NULL,
    payloads     INTEGER NOT NULL,
    PRIMARY KEY (hour, module, transport)
) WITHOUT ROWID;

-- How many flushes of a process are in it, so that one whose outcome stayed unknown is not added twice.
CREATE TABLE usage_writer (
    run     INTEGER PRIMARY KEY,
    flushes INTEGER NOT NULL,
    at      INTEGER NOT NULL
);
