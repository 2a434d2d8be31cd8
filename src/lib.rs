//! changeover moves a fleet of polling clients to push, one module at a time, without losing a
//! change and without touching the old clients.
//!
//! The folders are the architecture, and what each may import points one way:
//! `domain` ← `config` ← `telemetry` ← `store` ← `cutover` ← `log` ← `poll`, `native`, `mirror`,
//! `broker` ← `http` ← `runtime` ← `cli`. `docs/ARCHITECTURE.md` walks through them.

#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod cli;
pub mod config;
pub mod cutover;
pub mod domain;
pub mod http;
pub mod log;
pub mod mirror;
pub mod native;
pub mod poll;
pub mod runtime;
pub mod store;
pub mod telemetry;
