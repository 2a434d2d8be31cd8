-- Who was last seen how: one row for each client of a module, merged by every replica; the later time of two counts.

-- Times are 0 where it never was: `polled_at` that it polled, `pushed_at` that it gave a sign of push, which holds until `push_until`. `told` is what it was told when it
-- polled last: 0 to poll, 1 to take the push, 2 that for so long that it should. `address` is NULL unless the configuration wants addresses kept.
CREATE TABLE client_census (
    module     TEXT COLLATE "C" NOT NULL,
    client_id  TEXT COLLATE "C" NOT NULL,
    agent      TEXT COLLATE "C" NOT NULL DEFAULT '',
    audience   TEXT COLLATE "C",
    address    TEXT COLLATE "C",
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    polled_at  BIGINT NOT NULL DEFAULT 0,
    told       BIGINT NOT NULL DEFAULT 0,
    pushed_at  BIGINT NOT NULL DEFAULT 0,
    push_until BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (module, client_id)
);
-- For those who have not been seen for long, which go.
CREATE INDEX client_census_seen ON client_census (last_seen);

-- Where a replica has more clients than it remembers one by one: the sketch of all that it saw in a slice of time.
CREATE TABLE client_sketch (
    module    TEXT COLLATE "C" NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    instance  TEXT COLLATE "C" NOT NULL,
    slice     BIGINT NOT NULL,
    registers BYTEA   NOT NULL,
    PRIMARY KEY (module, transport, instance, slice)
);
