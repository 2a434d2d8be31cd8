//! The behaviour of changeover on real parts: one file per behaviour, one binary for all.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod architecture;
mod the_command_line_speaks_the_admin_api;
mod store_conformance;
mod support;
mod cohorts;
mod cursor_order;
mod legacy_bodies;
mod legacy_cursors;
mod legacy_gateway;
mod legacy_headers;
mod malformed_polls;
mod whole_states;
