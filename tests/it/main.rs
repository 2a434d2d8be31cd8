//! The behaviour of changeover on real parts: one file per behaviour, one binary for all.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod support;

mod a_clean_stop_keeps_its_word;
mod a_database_outage;
mod a_floor_under_tight_loops;
mod a_killed_broker_loses_nothing;
mod a_killed_gateway_loses_nothing;
mod a_paused_sequencer_cannot_write;
mod a_replaced_database_file_is_noticed;
mod a_state_that_was_off_is_made_whole;
mod architecture;
mod cohorts;
mod commit_order;
mod cursor_order;
mod heavy_reads_delay_no_tail_poll;
mod ingest_refuses_whole;
#[cfg(feature = "embedded-broker")]
mod kept_sessions_of_the_embedded_broker_are_bounded;
mod legacy_bodies;
mod legacy_cursors;
mod legacy_gateway;
mod legacy_headers;
mod malformed_polls;
mod mirror_follows_the_log;
mod poisonous_rows_are_parked;
mod polls_are_steered;
mod polls_on_real_databases;
mod repeats_are_ignored;
mod stages_flip_everywhere;
mod store_conformance;
mod terminals_of_a_killed_broker_end_with_the_log;
mod the_command_line_speaks_the_admin_api;
#[cfg(feature = "embedded-broker")]
mod the_embedded_broker_lets_nobody_else_publish;
mod ten_thousand_polls_wait;
mod two_gateways_take_over;
mod waiting_polls;
mod whole_states;
