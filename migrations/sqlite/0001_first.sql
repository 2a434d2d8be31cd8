-- The tables of docs/ARCHITECTURE.md. Times are integer microseconds since the Unix epoch. Values are kept byte
-- for byte. Names compare byte by byte (BINARY is the default collation).
-- A migration is additive for one release, and never edited once released.

-- Public: producers of any language INSERT here inside their own transaction.
-- AUTOINCREMENT, because a plain rowid is given again after its row is gone. The default of occurred_at is
-- evaluated by the program that inserts, so it uses only functions of SQLite 3.37.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    module      TEXT NOT NULL,
    audience    TEXT DEFAULT '*',
    entity_key  TEXT NOT NULL,
    op          TEXT DEFAULT 'upsert',
    value       TEXT,
    change_id   TEXT,
    occurred_at INTEGER DEFAULT (
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000
        + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000
    ),
    CONSTRAINT outbox_value_missing CHECK (value IS NOT NULL OR op = 'delete')
);

-- Rows that can never be numbered, with the reason: a stable word, a colon, an explanation. BLOB columns convert
-- nothing: bytes and storage class stay what they were in the outbox.
CREATE TABLE outbox_rejected (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    module      BLOB,
    audience    BLOB,
    entity_key  BLOB,
    op          BLOB,
    value       BLOB,
    change_id   BLOB,
    occurred_at BLOB,
    reason      TEXT NOT NULL,
    rejected_at INTEGER NOT NULL
);

-- The log: append-only, pruned by retention.
CREATE TABLE change_log (
    module       TEXT NOT NULL,
    position     INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    audience     TEXT NOT NULL,
    entity_key   TEXT NOT NULL,
    op           TEXT NOT NULL,
    value        TEXT NOT NULL,
    change_id    TEXT,
    previous     INTEGER NOT NULL,
    occurred_at  INTEGER NOT NULL,
    sequenced_at INTEGER NOT NULL,
    PRIMARY KEY (module, position)
);
CREATE INDEX change_log_channel ON change_log (module, audience, position);
CREATE INDEX change_log_tick ON change_log (module, sequenced_at);

-- Change ids that were numbered, remembered longer than the log keeps the change.
CREATE TABLE change_seen (
    module    TEXT NOT NULL,
    change_id TEXT NOT NULL,
    position  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (module, change_id)
);
CREATE INDEX change_seen_at ON change_seen (at);

-- The last change per key, tombstones included.
CREATE TABLE entity_state (
    module     TEXT NOT NULL,
    audience   TEXT NOT NULL,
    entity_key TEXT NOT NULL,
    op         TEXT NOT NULL,
    position   INTEGER NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (module, audience, entity_key)
);
CREATE INDEX entity_state_position ON entity_state (module, audience, position);

-- One row per module: the head of its log, and the lease of its only writer.
CREATE TABLE module_head (
    module            TEXT PRIMARY KEY,
    epoch             INTEGER NOT NULL DEFAULT 1,
    head              INTEGER NOT NULL DEFAULT 0,
    retained_from     INTEGER NOT NULL DEFAULT 1,
    sequenced_through INTEGER NOT NULL DEFAULT 0,
    lease_holder      TEXT,
    lease_token       INTEGER NOT NULL DEFAULT 0,
    lease_expires_at  INTEGER NOT NULL DEFAULT 0
);

-- How far each target has acknowledged each module; moves only under the lease of the module.
CREATE TABLE mirror_cursor (
    target      TEXT NOT NULL,
    module      TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    lease_token INTEGER NOT NULL,
    PRIMARY KEY (target, module)
);

-- What engineers asked for.
CREATE TABLE module_stage (
    module     TEXT PRIMARY KEY,
    stage      TEXT NOT NULL,
    cohort     TEXT NOT NULL,
    routing    TEXT,
    paused     INTEGER NOT NULL DEFAULT 0,
    version    INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    reason     TEXT NOT NULL
);

-- Every act; written in one transaction with what it changed. No module = an act on all.
CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    module TEXT,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    before TEXT NOT NULL,
    after  TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL
);
CREATE INDEX audit_module ON audit (module, id);

-- What replicas share about each other and about the guard, the panic, routes and the verifier.
CREATE TABLE instance (
    id        TEXT PRIMARY KEY,
    heartbeat INTEGER NOT NULL
);
CREATE TABLE guard (
    module        TEXT NOT NULL,
    target        TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    since         INTEGER NOT NULL,
    healthy_since INTEGER,
    token         INTEGER NOT NULL,
    PRIMARY KEY (module, target)
);
-- Module `*` = all modules.
CREATE TABLE panic (
    module TEXT PRIMARY KEY,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL,
    since  INTEGER NOT NULL
);
CREATE TABLE route (
    module     TEXT PRIMARY KEY,
    target     TEXT NOT NULL,
    routing    TEXT,
    version    INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    reason     TEXT NOT NULL
);
CREATE TABLE verifier_window (
    target           TEXT NOT NULL,
    module           TEXT NOT NULL,
    epoch            INTEGER NOT NULL,
    first_position   INTEGER NOT NULL,
    last_position    INTEGER NOT NULL,
    ok               INTEGER NOT NULL,
    missing          INTEGER NOT NULL,
    duplicate        INTEGER NOT NULL,
    reordered        INTEGER NOT NULL,
    ended_at         INTEGER NOT NULL,
    token            INTEGER NOT NULL,
    PRIMARY KEY (target, module, epoch, first_position)
);

-- Keys that sign the short-lived passwords of clients, and tokens of operators and back ends (hashed).
CREATE TABLE signing_key (
    id         TEXT PRIMARY KEY,
    secret     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    retires_at INTEGER
);
CREATE TABLE auth_token (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);
