//! The behaviour of changeover on real parts: one file per behaviour, one binary for all.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod support;

mod a_bad_network_loses_nothing;
mod a_broker_is_replaced_under_load;
mod a_broker_killed_every_two_seconds;
mod a_broker_that_does_not_answer;
mod a_broker_that_refuses_for_a_while;
mod a_clean_stop_keeps_its_word;
#[cfg(feature = "embedded-broker")]
mod a_client_switches_at_every_turn;
mod a_database_outage;
mod a_database_that_dies_while_numbering;
mod a_dead_target_holds_up_nobody;
mod a_floor_under_tight_loops;
mod a_full_disk_refuses_and_goes_on;
mod a_halt_ends_when_somebody_says_so;
mod a_killed_broker_loses_nothing;
mod a_killed_gateway_loses_nothing;
mod a_loss_is_counted_from_its_moment;
mod a_million_rows_are_pruned_beside_a_producer;
mod a_module_is_handed_over_under_load;
mod a_paused_sequencer_cannot_write;
mod a_replaced_database_file_is_noticed;
mod a_restored_copy_begins_a_new_epoch;
mod a_slow_target_slows_only_itself;
mod a_soak;
mod a_state_that_was_off_is_made_whole;
mod a_stopped_process_stands_in_nobodys_way;
mod alike_names_stay_apart;
mod an_index_comes_with_the_first_time_cursor;
mod architecture;
mod brokers_are_known_by_their_certificates;
mod check_knows_the_brokers;
mod check_looks_at_the_links;
mod clients_move_to_another_broker;
mod clients_of_others_end_with_the_log;
mod clients_that_hardly_read;
mod cloudevents_come_in;
mod cloudevents_sdks_post_changes;
mod cohorts;
mod commit_order;
mod compact_goes_on_with_the_others;
mod cursor_order;
mod databases_over_tls;
mod deep_values_go_through;
mod descriptions_are_true;
mod every_broker;
mod every_connection_takes_the_same_link;
mod gateways_with_and_without_state_take_turns;
mod heavy_reads_delay_no_tail_poll;
mod idle_connections_are_closed;
mod ingest_refuses_whole;
#[cfg(feature = "embedded-broker")]
mod kept_sessions_of_the_embedded_broker_are_bounded;
mod large_answers_are_compressed;
mod legacy_bodies;
mod legacy_cursors;
mod legacy_errors;
mod legacy_etags;
mod legacy_examples;
mod legacy_gateway;
mod legacy_headers;
mod legacy_nothing_new;
mod legacy_pace;
mod legacy_places;
mod legacy_quirks;
mod legacy_times;
mod links_lose_nothing;
mod logs_are_pruned;
mod malformed_polls;
mod many_modules_at_one_endpoint;
mod mariadb_reads_only_what_it_returns;
mod mirror_follows_the_log;
#[cfg(feature = "embedded-broker")]
mod mqtt_clients_of_others_receive_the_events;
mod only_the_newest_change_of_a_key;
mod passwords_change_while_running;
mod poisonous_rows_are_parked;
mod polls_are_steered;
mod polls_of_several_modules;
mod polls_on_real_databases;
mod processes_that_cannot_share_a_database;
mod pruning_waits_for_targets;
mod publishes_are_paced;
mod readers_beside_pruning;
mod reads_of_one_module_hold_up_no_other;
mod refusals_end_in_a_pointer_or_a_halt;
mod repeatable_read_would_lose_rows;
mod repeats_are_ignored;
mod replicas_share_the_modules;
mod retained_messages_keep_within_the_window;
mod secrets_are_never_shown;
mod several_connections_keep_each_channel_in_order;
mod snapshots_converge;
mod stages_flip_everywhere;
mod store_conformance;
mod strangers_find_no_gap_in_the_descriptions;
mod streams_follow_the_log;
mod streams_speak_the_protocol;
mod streams_tell_what_is_missing;
mod streams_under_strain;
mod targets_are_acted_on;
mod targets_differ;
mod ten_thousand_polls_wait;
mod terminals_of_a_killed_broker_end_with_the_log;
mod the_command_line_speaks_the_admin_api;
#[cfg(feature = "embedded-broker")]
mod the_embedded_broker_lets_nobody_else_publish;
mod the_leader_is_killed_every_three_seconds;
mod the_legacy_page_is_true;
mod the_verifier_follows_several_connections;
mod the_verifier_raises_nothing_false;
mod the_verifier_tells_what_a_broker_does;
mod time_cursors;
mod time_cursors_across_epochs;
mod two_gateways_take_over;
mod values_that_do_not_fit_go_as_pointers;
mod waiting_for_a_tick;
mod waiting_polls;
mod whole_states;
