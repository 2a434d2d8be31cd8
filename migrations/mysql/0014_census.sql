-- Who was last seen how: one row for each client of a module, merged by every replica; the later time of two counts.

-- Times are 0 where it never was: `polled_at` that it polled, `pushed_at` that it gave a sign of push, which holds until `push_until`. `told` is what it was told when it
-- polled last: 0 to poll, 1 to take the push, 2 that for so long that it should. `address` is NULL unless the configuration wants addresses kept.
CREATE TABLE client_census (
    module     VARBINARY(32) NOT NULL,
    client_id  VARBINARY(128) NOT NULL,
    agent      VARBINARY(256) NOT NULL DEFAULT '',
    audience   VARBINARY(1024),
    address    VARBINARY(64),
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    polled_at  BIGINT NOT NULL DEFAULT 0,
    told       BIGINT NOT NULL DEFAULT 0,
    pushed_at  BIGINT NOT NULL DEFAULT 0,
    push_until BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (module, client_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- For those who have not been seen for long, which go.
CREATE INDEX client_census_seen ON client_census (last_seen);

-- Where a replica has more clients than it remembers one by one: the sketch of all that it saw in a slice of time.
CREATE TABLE client_sketch (
    module    VARBINARY(32) NOT NULL,
    transport VARBINARY(8) NOT NULL,
    instance  VARBINARY(255) NOT NULL,
    slice     BIGINT NOT NULL,
    registers BLOB    NOT NULL,
    PRIMARY KEY (module, transport, instance, slice)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
