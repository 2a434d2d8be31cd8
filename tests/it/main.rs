//! The behaviour of changeover on real parts: one file per behaviour, one binary for all.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod a_killed_broker_loses_nothing;
mod mirror_follows_the_log;
mod support;
#[cfg(feature = "embedded-broker")]
mod the_embedded_broker_lets_nobody_else_publish;
