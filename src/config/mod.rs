//! What operators write: one file per section, each with its defaults and its own checks.
//!
//! Invariant: a [`Config`] that [`load`] returned has passed every check of this room; a problem
//! is reported with its key path, and all problems are reported at once.

pub mod auth;
pub mod broker;
pub mod database;
pub mod ingest;
pub mod log;
pub mod mirror;
pub mod modules;
pub mod mqtt;
pub mod outbox;
pub mod sequencer;
pub mod server;
pub mod span;
pub mod tail;

use serde::{Deserialize, Serialize};

use crate::domain::Limits;

/// The whole configuration, as in `changeover.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Listeners and the process itself.
    pub server: server::Server,
    /// Where the change log lives.
    pub database: database::Database,
    /// Who may call.
    pub auth: auth::Auth,
    /// Upper bounds of one change.
    pub limits: Limits,
    /// Ingest over HTTP.
    pub ingest: ingest::Ingest,
    /// The table that producers insert into.
    pub outbox: outbox::Outbox,
    /// Numbering.
    pub sequencer: sequencer::Sequencer,
    /// The newest part of the log, in memory.
    pub tail: tail::Tail,
    /// Brokers and topics.
    pub mqtt: mqtt::Mqtt,
    /// Publishing.
    pub mirror: mirror::Mirror,
    /// Bounds of the embedded broker.
    pub broker: broker::Broker,
    /// Log output.
    pub log: log::Log,
    /// The modules that this gateway serves.
    pub modules: Vec<modules::Module>,
}
