-- What was counted, by hour: the replicas add up in one row. `module` is '-' for what belongs to no module; there `statements` are those of
-- whole processes, whoever they were for. `stage` is the highest step of the ladder that was asked for within the hour (0 = proxy), and
-- somebody counted from `counted_from` to `counted_to`.
CREATE TABLE usage_hourly (
    hour         BIGINT NOT NULL,
    module       TEXT COLLATE "C" NOT NULL,
    transport    TEXT COLLATE "C" NOT NULL,
    stage        BIGINT NOT NULL,
    counted_from BIGINT NOT NULL,
    counted_to   BIGINT NOT NULL,
    requests     BIGINT NOT NULL,
    idle         BIGINT NOT NULL,
    memory       BIGINT NOT NULL,
    refused      BIGINT NOT NULL,
    statements   BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    messages     BIGINT NOT NULL,
    payloads     BIGINT NOT NULL,
    PRIMARY KEY (hour, module, transport)
);

-- How many flushes of a process are in it, so that one whose outcome stayed unknown is not added twice.
CREATE TABLE usage_writer (
    run     BIGINT PRIMARY KEY,
    flushes BIGINT NOT NULL,
    at      BIGINT NOT NULL
);
