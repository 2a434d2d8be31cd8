//! The metrics, by the names that operators were promised.

use super::usage::statements;

/// Legacy polls by module and kind of answer.
pub const POLLS: &str = "changeover_polls_total";
/// Time from a legacy poll's head to its answer, without what it waited for news.
pub const POLL_SECONDS: &str = "changeover_poll_seconds";
/// Requests and answers that a quirk changed, by module and quirk.
pub const QUIRKS: &str = "changeover_quirk_total";
/// Answers of streams, snapshots, sessions, `POST /v1/poll` and flags, by endpoint and kind of answer.
pub const NATIVE_READS: &str = "changeover_native_reads_total";
/// Requests whose caller was refused, by door and why.
pub const CALLERS_REFUSED: &str = "changeover_callers_refused_total";
/// Streams of server-sent events that are open.
pub const STREAMS: &str = "changeover_streams";
/// Reads that wait for news, by module.
pub const WAITING_POLLS: &str = "changeover_waiting_polls";
/// Waits that ended because their channel had news, by module.
pub const WAITS_WOKEN: &str = "changeover_waits_woken_total";
/// Reads that were answered at once because as many waited as allowed.
pub const WAITS_CROWDED: &str = "changeover_waits_crowded_total";
/// Reads that found no place in time, by class and module.
pub const ADMISSION_REFUSED: &str = "changeover_admission_refused_total";
/// Reads of the database under way, by module.
pub const ADMISSION_IN_FLIGHT: &str = "changeover_admission_in_flight";
/// Tokens at the private listener that nobody is known by, by why.
pub const TOKENS_REFUSED: &str = "changeover_tokens_refused_total";
/// Requests whose caller was recognized or refused, by realm and outcome.
pub const CALLERS: &str = "changeover_callers_total";
/// Seconds for which the keys of a caller could not be read, by realm.
pub const KEYS_UNREAD: &str = "changeover_caller_keys_unread_seconds";
/// Callers that are remembered as recognized, and credentials as refused, by kind.
pub const VERDICTS: &str = "changeover_verdicts";
/// SQL statements by purpose.
pub const DATABASE_QUERIES: &str = "changeover_database_queries_total";
/// Open database connections.
pub const DATABASE_CONNECTIONS: &str = "changeover_database_connections";
/// Rows that wait in the outbox, counted up to a bound.
pub const OUTBOX_DEPTH: &str = "changeover_outbox_depth";
/// Changes numbered, by module.
pub const SEQUENCED: &str = "changeover_sequenced_total";
/// Outbox rows parked, by module and reason.
pub const REJECTED: &str = "changeover_rejected_total";
/// Living processes that share the database, this one included.
pub const INSTANCES: &str = "changeover_instances";
/// Modules that this replica numbers and mirrors.
pub const LEASES: &str = "changeover_leases";
/// Leases that came and went, by what happened: `taken`, `handed_over` or `lost`.
pub const LEASE_MOVES: &str = "changeover_lease_moves_total";
/// Whether a panic is in force on this replica, by module.
pub const PANIC: &str = "changeover_panic";
/// Whether a guard of a module has tripped, as this replica knows it.
pub const GUARD_TRIPPED: &str = "changeover_guard_tripped";
/// Clients of all replicas within `census.window`, by module and transport.
pub const CLIENTS: &str = "changeover_clients";
/// About how many clients without an id were seen in that time, by module.
pub const CLIENTS_WITHOUT_ID: &str = "changeover_clients_without_id";
/// Publishes handed to a broker, repeats included.
pub const MIRROR_PUBLISHED: &str = "changeover_mirror_published_total";
/// Age of the oldest change that a target has not acknowledged.
pub const MIRROR_LAG_SECONDS: &str = "changeover_mirror_lag_seconds";
/// Changes sent without their value, repeats included, by target, module and reason.
pub const MIRROR_POINTERS: &str = "changeover_mirror_pointers_total";
/// Whether a module is kept off a target because another log is published there: 1 or 0, by target and module.
pub const MIRROR_KEPT_OFF: &str = "changeover_mirror_kept_off";
/// Publishes without acknowledgement.
pub const MIRROR_INFLIGHT: &str = "changeover_mirror_inflight";

/// Whether a target's broker lets the gateway make clients: 1 or 0.
pub const DYNSEC_READY: &str = "changeover_dynsec_ready";
/// Clients of sessions that a target's broker has, as far as this replica knows.
pub const DYNSEC_CLIENTS: &str = "changeover_dynsec_clients";
/// Commands to a target's dynamic-security plugin, by command and outcome: `done`, `known`, `refused` or `unanswered`.
pub const DYNSEC_COMMANDS: &str = "changeover_dynsec_commands_total";
/// Sessions that got no client on a target's broker, by why: `away`, `crowded`, `full`, `late` or `refused`.
pub const DYNSEC_WITHOUT: &str = "changeover_dynsec_without_total";

/// Seconds until the certificate of a listener ends, by listener; negative after it has.
pub const CERTIFICATE_EXPIRES_SECONDS: &str = "changeover_certificate_expires_seconds";
/// Connections that were closed before a request, by listener and why: `address`, `crowded`, `handshake`, `large`, `late`, `no-connect`.
pub const CONNECTIONS_REFUSED: &str = "changeover_connections_refused_total";
/// Requests to the public listener that came too soon, by whose they were: `address` or `caller`.
pub const TOO_SOON: &str = "changeover_too_soon_total";
/// Wrong logins that brokers asked the hooks about, by broker and whether their sender tries often.
pub const WRONG_LOGINS: &str = "changeover_wrong_logins_total";
/// Changes as a subscriber of a target received them, by module and outcome.
pub const VERIFIED: &str = "changeover_verified_total";
/// The share of a target's channels that is compared with the log at present.
pub const VERIFIED_SHARE: &str = "changeover_verified_share";
/// Time from a change's numbering to its arrival at a subscriber.
pub const DELIVERY_SECONDS: &str = "changeover_delivery_seconds";

/// Rows that retention has deleted, by module and what they were.
pub const RETENTION_ROWS: &str = "changeover_retention_rows_total";
/// Changes that were pruned before a target had acknowledged them.
pub const RETENTION_FORCED: &str = "changeover_retention_forced_total";
/// Age of the oldest change that a module's log promises to hold.
pub const OLDEST_RETAINED_SECONDS: &str = "changeover_oldest_retained_seconds";

/// Who asks the database, as the label `purpose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Reading the outbox and writing the log.
    Sequence,
    /// Following the log into memory.
    Tail,
    /// Taking and keeping leases.
    Lease,
    /// A legacy poll that the tail could not answer.
    Poll,
    /// A native read that the tail could not answer.
    Catchup,
    /// A snapshot.
    Snapshot,
    /// The state per key, for a cursor that is too old or a poll without cursor.
    State,
    /// The mirror's cursors.
    Cursor,
    /// Changes over HTTP.
    Ingest,
    /// Pruning.
    Retention,
    /// Clients by transport.
    Census,
    /// Stages, panics, tokens and their audit.
    Flags,
    /// What was counted, by the hour.
    Usage,
    /// The keys that sign what clients enter brokers with.
    Keys,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Tail => "tail",
            Self::Lease => "lease",
            Self::Poll => "poll",
            Self::Catchup => "catchup",
            Self::Snapshot => "snapshot",
            Self::State => "state",
            Self::Cursor => "cursor",
            Self::Ingest => "ingest",
            Self::Retention => "retention",
            Self::Census => "census",
            Self::Flags => "flags",
            Self::Usage => "usage",
            Self::Keys => "keys",
        }
    }
}

/// Counts one SQL statement.
pub fn count_query(purpose: Purpose) {
    statements::count();
    metrics::counter!(DATABASE_QUERIES, "purpose" => purpose.label()).increment(1);
}

/// Tells the exporter what each metric means.
pub fn describe() {
    describe_doors();
    metrics::describe_counter!(POLLS, "Legacy polls by module and kind of answer");
    metrics::describe_histogram!(
        POLL_SECONDS,
        metrics::Unit::Seconds,
        "Time to answer a legacy poll"
    );
    metrics::describe_counter!(QUIRKS, "Requests and answers that a quirk changed");
    metrics::describe_counter!(
        NATIVE_READS,
        "Answers of streams, snapshots and polls of several modules"
    );
    describe_callers();
    metrics::describe_gauge!(STREAMS, "Open streams of server-sent events");
    metrics::describe_gauge!(WAITING_POLLS, "Reads that wait for news");
    metrics::describe_counter!(WAITS_WOKEN, "Waits ended by news of their channel");
    metrics::describe_counter!(
        WAITS_CROWDED,
        "Reads answered at once because as many waited as poll.max_waiting allows"
    );
    metrics::describe_counter!(
        ADMISSION_REFUSED,
        "Reads that found no place within admission.wait_ms"
    );
    metrics::describe_gauge!(ADMISSION_IN_FLIGHT, "Reads under way");
    metrics::describe_counter!(DATABASE_QUERIES, "SQL statements by purpose");
    metrics::describe_gauge!(DATABASE_CONNECTIONS, "Open database connections");
    metrics::describe_gauge!(
        OUTBOX_DEPTH,
        "Rows that wait in the outbox, counted up to a bound"
    );
    metrics::describe_counter!(SEQUENCED, "Changes numbered");
    metrics::describe_counter!(REJECTED, "Outbox rows parked");
    metrics::describe_gauge!(
        INSTANCES,
        "Living processes on this database, this one included"
    );
    metrics::describe_gauge!(LEASES, "Modules that this replica numbers and mirrors");
    metrics::describe_counter!(LEASE_MOVES, "Leases taken, handed_over or lost");
    metrics::describe_gauge!(
        GUARD_TRIPPED,
        "Whether a guard of the module has sent clients back to polling"
    );
    metrics::describe_gauge!(
        CLIENTS,
        "Clients that were seen within census.window, by any replica"
    );
    metrics::describe_gauge!(
        CLIENTS_WITHOUT_ID,
        "About how many without an id were seen in that time, told apart by address and program"
    );
    metrics::describe_counter!(
        MIRROR_PUBLISHED,
        "Publishes handed to a broker, repeats included"
    );
    metrics::describe_counter!(
        MIRROR_POINTERS,
        "Changes sent without their value: too_large or refused"
    );
    metrics::describe_gauge!(
        MIRROR_LAG_SECONDS,
        metrics::Unit::Seconds,
        "Age of the oldest change without acknowledgement"
    );
    metrics::describe_gauge!(
        MIRROR_KEPT_OFF,
        "1 while a module is not published to a target because another log is, or was, published there"
    );
    metrics::describe_gauge!(MIRROR_INFLIGHT, "Publishes without acknowledgement");
    metrics::describe_counter!(
        VERIFIED,
        "Changes read back from a target: ok, missing, duplicate, reordered, previous, late, foreign or unobserved"
    );
    metrics::describe_gauge!(
        VERIFIED_SHARE,
        "Share of a target's channels that is compared with the log"
    );
    metrics::describe_histogram!(
        DELIVERY_SECONDS,
        metrics::Unit::Seconds,
        "Time from numbering to arrival at a subscriber"
    );
    metrics::describe_counter!(
        RETENTION_ROWS,
        "Rows deleted by retention: pruned, superseded or tombstone"
    );
    metrics::describe_counter!(
        RETENTION_FORCED,
        "Changes pruned before a target had acknowledged them"
    );
    metrics::describe_gauge!(
        OLDEST_RETAINED_SECONDS,
        metrics::Unit::Seconds,
        "Age of the oldest change that the log promises to hold"
    );
}

fn describe_callers() {
    metrics::describe_counter!(
        CALLERS,
        "Requests whose caller was recognized, or why not, by the name of auth.callers"
    );
    metrics::describe_gauge!(
        KEYS_UNREAD,
        "Seconds for which the keys of a caller could not be read; 0 = they can"
    );
    metrics::describe_gauge!(
        VERDICTS,
        "Callers that are remembered as recognized, and credentials as refused"
    );
    metrics::describe_counter!(CALLERS_REFUSED, "Requests whose caller was refused");
}

fn describe_doors() {
    metrics::describe_gauge!(
        DYNSEC_READY,
        "Whether a target's broker lets the gateway make clients"
    );
    metrics::describe_gauge!(DYNSEC_CLIENTS, "Clients of sessions on a target's broker");
    metrics::describe_counter!(
        DYNSEC_COMMANDS,
        "Commands to the dynamic-security plugin of a target's broker"
    );
    metrics::describe_counter!(
        DYNSEC_WITHOUT,
        "Sessions that got no client on a target's broker"
    );
    metrics::describe_gauge!(
        CERTIFICATE_EXPIRES_SECONDS,
        metrics::Unit::Seconds,
        "Time until the certificate of a listener ends"
    );
    metrics::describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections closed before a request: too many of an address, a handshake that failed or was late"
    );
    metrics::describe_counter!(
        WRONG_LOGINS,
        "Wrong logins that brokers asked about; often = more from one address or user name within a minute than allowed"
    );
    metrics::describe_counter!(
        TOO_SOON,
        "Requests above the rate of their address or caller"
    );
}
