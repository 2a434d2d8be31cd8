//! Reaching the broker.

use std::time::Duration;

use anyhow::Context;
use reqwest::Url;
use rumqttc::v5::{AsyncClient, EventLoop, MqttOptions};

/// Requests that may wait for the event loop.
const REQUESTS: usize = 1000;

/// A client of the broker at `mqtt://host:port`, not connected yet.
pub fn client(broker: &Url, id: &str, inflight: u16) -> anyhow::Result<(AsyncClient, EventLoop)> {
    let host = broker.host_str().context("the broker's url has no host")?;
    let port = broker.port().context("the broker's url has no port")?;
    let mut options = MqttOptions::new(id, host, port);
    options.set_clean_start(true);
    options.set_keep_alive(Duration::from_mins(1));
    options.set_outgoing_inflight_upper_limit(inflight);
    options.set_receive_maximum(Some(u16::MAX));
    Ok(AsyncClient::new(options, REQUESTS))
}
