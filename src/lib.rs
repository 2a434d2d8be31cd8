//! changeover moves a fleet of polling clients to push, one module at a time, without losing a
//! change and without touching the old clients.
//!
//! A program that reads a gateway, by polls and by push, takes the rule for that from [`client`] (feature `client`), which needs
//! nothing of the gateway.
//!
//! The folders are the architecture, and what each may import points one way:
//! `domain` ← `client`, `config` ← `telemetry` ← `store` ← `cutover`, `identity` ← `log` ← `poll`, `native`, `mirror`,
//! `broker` ← `http` ← `runtime` ← `cli`. `docs/ARCHITECTURE.md` walks through them.

#[cfg(feature = "embedded-broker")]
pub mod broker;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "gateway")]
pub mod cutover;
pub mod domain;
#[cfg(feature = "gateway")]
pub mod http;
#[cfg(feature = "gateway")]
pub mod identity;
#[cfg(feature = "gateway")]
pub mod log;
#[cfg(feature = "gateway")]
pub mod mirror;
#[cfg(feature = "gateway")]
pub mod native;
#[cfg(feature = "gateway")]
pub mod poll;
#[cfg(feature = "gateway")]
pub mod runtime;
#[cfg(feature = "gateway")]
pub mod store;
#[cfg(all(feature = "gateway", any(test, fuzzing)))]
pub mod strangers;
#[cfg(feature = "gateway")]
pub mod telemetry;
