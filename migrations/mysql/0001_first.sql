-- The tables of docs/ARCHITECTURE.md. Times are integer microseconds since the Unix epoch. Values are LONGBLOB: they
-- are kept byte for byte. Names are VARBINARY: a collation would make `U1`, `u1` and `u1 ` one channel.
-- MySQL commits each statement here by itself. A migration is additive for one release, and never edited once released.

-- Public: producers of any language INSERT here inside their own transaction, in UTF-8 (SET NAMES utf8mb4).
-- The columns are wider than the widest limit that can be configured: what a session that is not strict cuts off is
-- still too long to be numbered, and is parked. `size` is ours: to tell the length of a large value InnoDB would read
-- all of it (as MariaDB does for a generated column, too).
CREATE TABLE outbox (
    id          BIGINT NOT NULL AUTO_INCREMENT,
    module      VARBINARY(255) NOT NULL,
    audience    VARBINARY(2048) DEFAULT '*',
    entity_key  VARBINARY(4096) NOT NULL,
    op          VARBINARY(255) DEFAULT 'upsert',
    value       LONGBLOB,
    change_id   VARBINARY(2048),
    occurred_at BIGINT DEFAULT (TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))),
    size        BIGINT DEFAULT (
        OCTET_LENGTH(module) + OCTET_LENGTH(entity_key) + COALESCE(OCTET_LENGTH(audience), 0)
        + COALESCE(OCTET_LENGTH(op), 0) + COALESCE(OCTET_LENGTH(value), 0) + COALESCE(OCTET_LENGTH(change_id), 0)
    ),
    PRIMARY KEY (id),
    CONSTRAINT outbox_value_missing CHECK (value IS NOT NULL OR op = 'delete')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rows that can never be numbered, as they came, with the reason: a stable word, a colon, an explanation.
CREATE TABLE outbox_rejected (
    id          BIGINT NOT NULL AUTO_INCREMENT,
    module      VARBINARY(255),
    audience    VARBINARY(2048),
    entity_key  VARBINARY(4096),
    op          VARBINARY(255),
    value       LONGBLOB,
    change_id   VARBINARY(2048),
    occurred_at BIGINT,
    reason      TEXT NOT NULL,
    rejected_at BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The log: append-only, pruned by retention.
CREATE TABLE change_log (
    module       VARBINARY(32) NOT NULL,
    position     BIGINT NOT NULL,
    epoch        BIGINT NOT NULL,
    audience     VARBINARY(768) NOT NULL,
    entity_key   VARBINARY(2048) NOT NULL,
    op           VARBINARY(16) NOT NULL,
    value        LONGBLOB NOT NULL,
    change_id    VARBINARY(1024),
    previous     BIGINT NOT NULL,
    occurred_at  BIGINT NOT NULL,
    sequenced_at BIGINT NOT NULL,
    PRIMARY KEY (module, position),
    KEY change_log_channel (module, audience, position),
    KEY change_log_tick (module, sequenced_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Change ids that were numbered, remembered longer than the log keeps the change.
CREATE TABLE change_seen (
    module    VARBINARY(32) NOT NULL,
    change_id VARBINARY(1024) NOT NULL,
    position  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (module, change_id),
    KEY change_seen_at (at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last change per key, tombstones included. InnoDB's keys end at 3,072 bytes: here 32 + 768 + 2,048.
CREATE TABLE entity_state (
    module     VARBINARY(32) NOT NULL,
    audience   VARBINARY(768) NOT NULL,
    entity_key VARBINARY(2048) NOT NULL,
    op         VARBINARY(16) NOT NULL,
    position   BIGINT NOT NULL,
    value      LONGBLOB NOT NULL,
    PRIMARY KEY (module, audience, entity_key),
    KEY entity_state_position (module, audience, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row per module: the head of its log, and the lease of its only writer.
CREATE TABLE module_head (
    module            VARBINARY(32) NOT NULL,
    epoch             BIGINT NOT NULL DEFAULT 1,
    head              BIGINT NOT NULL DEFAULT 0,
    retained_from     BIGINT NOT NULL DEFAULT 1,
    sequenced_through BIGINT NOT NULL DEFAULT 0,
    lease_holder      VARBINARY(255),
    lease_token       BIGINT NOT NULL DEFAULT 0,
    lease_expires_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- How far each target has acknowledged each module; moves only under the lease of the module.
CREATE TABLE mirror_cursor (
    target      VARBINARY(255) NOT NULL,
    module      VARBINARY(32) NOT NULL,
    epoch       BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    generation  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    lease_token BIGINT NOT NULL,
    PRIMARY KEY (target, module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What engineers asked for.
CREATE TABLE module_stage (
    module     VARBINARY(32) NOT NULL,
    stage      TEXT NOT NULL,
    cohort     LONGTEXT NOT NULL,
    routing    LONGTEXT,
    paused     BOOLEAN NOT NULL DEFAULT FALSE,
    version    BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Every act; written in one transaction with what it changed. No module = an act on all.
CREATE TABLE audit (
    id       BIGINT NOT NULL AUTO_INCREMENT,
    module   VARBINARY(32),
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    `before` LONGTEXT NOT NULL,
    `after`  LONGTEXT NOT NULL,
    reason   TEXT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (id),
    KEY audit_module (module, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What replicas share about each other and about the guard, the panic, routes and the verifier.
CREATE TABLE instance (
    id        VARBINARY(255) NOT NULL,
    heartbeat BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE guard (
    module        VARBINARY(32) NOT NULL,
    target        VARBINARY(255) NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    since         BIGINT NOT NULL,
    healthy_since BIGINT,
    token         BIGINT NOT NULL,
    PRIMARY KEY (module, target)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Module `*` = all modules.
CREATE TABLE panic (
    module VARBINARY(32) NOT NULL,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE route (
    module     VARBINARY(32) NOT NULL,
    target     VARBINARY(255) NOT NULL,
    routing    LONGTEXT,
    version    BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (module)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE verifier_window (
    target         VARBINARY(255) NOT NULL,
    module         VARBINARY(32) NOT NULL,
    epoch          BIGINT NOT NULL,
    first_position BIGINT NOT NULL,
    last_position  BIGINT NOT NULL,
    ok             BIGINT NOT NULL,
    missing        BIGINT NOT NULL,
    duplicate      BIGINT NOT NULL,
    reordered      BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL,
    token          BIGINT NOT NULL,
    PRIMARY KEY (target, module, epoch, first_position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Keys that sign the short-lived passwords of clients, and tokens of operators and back ends (hashed).
CREATE TABLE signing_key (
    id         VARBINARY(255) NOT NULL,
    secret     BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    retires_at BIGINT,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE auth_token (
    id         VARBINARY(255) NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
