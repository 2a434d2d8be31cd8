//! The behaviour of changeover on real parts: one file per behaviour, one binary for all.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod architecture;
mod the_command_line_speaks_the_admin_api;
mod store_conformance;
mod support;
