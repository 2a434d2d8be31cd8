//! The limit on open files: each connection is one, and shells grant few.

use crate::config::Config;

/// Files that are open beside connections of clients: database, broker, logs.
const OTHERS: u64 = 256;

const FEWER: &str = "fewer open files are allowed than configured connections may need: raise the limit (ulimit -n, LimitNOFILE), or lower server.max_connections and broker.max_connections";

/// Raises the soft limit to what this configuration may need, as far as the system allows, and
/// says so if that is too little. A system without such a limit is fine as it is.
pub fn raise_open_files(config: &Config) {
    let wanted = wanted(config);
    match rlimit::increase_nofile_limit(wanted) {
        // Nobody opens so many connections from this machine alone.
        Ok(granted) if granted < wanted && is_for_this_machine(config) => {
            tracing::info!(granted, wanted, "{FEWER}");
        }
        Ok(granted) if granted < wanted => tracing::warn!(granted, wanted, "{FEWER}"),
        Ok(granted) => tracing::debug!(granted, "open files"),
        Err(error) => tracing::warn!(%error, "the limit on open files cannot be raised"),
    }
}

fn is_for_this_machine(config: &Config) -> bool {
    let server = &config.server;
    server.public.ip().is_loopback() && server.private.ip().is_loopback()
}

fn wanted(config: &Config) -> u64 {
    let http = config.server.max_connections.saturating_mul(2);
    let mqtt = config.broker.max_connections;
    let mqtt = mqtt.saturating_add(config.broker.max_waiting);
    let all = http.saturating_add(mqtt);
    u64::try_from(all)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS)
}
