//! Why the process could not start, or ended.

use crate::{config::login::Unusable, domain::ModuleName, log::JoinError, store};

/// Why the process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Another process is in the way.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A listener.
    #[error("{key}: cannot listen on {address}; change `{key}` or stop what listens there")]
    Bind {
        /// The key that names the address.
        key: String,
        /// The address.
        address: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The certificate of a listener.
    #[error("{listener}.{why}")]
    Tls {
        /// The table that names its files.
        listener: &'static str,
        /// What is wrong with which.
        why: Unusable,
    },
    /// Poll contracts, by key path.
    #[error("the poll contracts have problems: {0:?}")]
    Contracts(Vec<(String, String)>),
    /// How callers are recognized, by key path.
    #[error("{0}")]
    Callers(crate::config::Problems),
    /// A state that was switched off and on again, of a log that was pruned.
    #[error(
        "module {module}: `state` was off while changes were numbered that the log no longer holds, so its state cannot be made whole: set `state = false`"
    )]
    StateLost {
        /// The module.
        module: ModuleName,
    },
    /// A mirror target.
    #[error("mqtt.targets: {0}")]
    Target(String),
    /// The secret of the broker hooks.
    #[error("{0}")]
    Hooks(String),
    /// The metrics.
    #[error("the metrics cannot be recorded: {0}")]
    Metrics(String),
}

/// Why a started process ended other than by being asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A maintenance task ended by itself.
    #[error("the task `{0}` ended, which it never should: see the log")]
    TaskEnded(&'static str),
    /// Another process has taken its name.
    #[error(
        "server.instance: another process runs as `{0}` on this database; give each replica a name of its own"
    )]
    Displaced(String),
    /// The orderly end took too long.
    #[error("not everything ended within server.drain_ms")]
    Late,
    /// A second signal came.
    #[error("aborted by a second signal")]
    Aborted,
}
