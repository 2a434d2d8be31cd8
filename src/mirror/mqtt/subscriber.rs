//! A plain subscriber, for people who want to see what a broker delivers.
//!
//! It keeps no session and reconnects for ever: what comes while it is away is not shown.

use std::time::Duration;

use super::{Endpoint, Grant, Link, LinkOptions, Signal};
use crate::domain::Backoff;

/// What a subscriber learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is connected and its subscription stands.
    Listening,
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: bytes::Bytes,
    },
    /// It is not connected, for this reason, and will try again.
    Away(String),
}

/// The broker does not let this client subscribe to its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker refuses the subscription")]
pub struct Refused;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The largest packet that MQTT knows.
const MAX_PACKET_BYTES: u32 = 268_435_455;

/// Listens to `filters` at QoS 1 and tells `hear` everything, until the broker refuses the
/// subscription or `hear` returns false.
pub async fn listen(
    endpoint: Endpoint,
    filters: &[String],
    mut hear: impl FnMut(Heard) -> bool,
) -> Result<(), Refused> {
    let options = LinkOptions {
        endpoint,
        client_id: format!("changeover-watch-{:016x}", rand::random::<u64>()),
        keep_alive: KEEP_ALIVE,
        inflight: 1,
        session: None,
        max_packet_bytes: MAX_PACKET_BYTES,
    };
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let mut link = Link::open(&options);
        while let Some(signals) = link.next().await {
            for signal in signals {
                let heard = match signal {
                    Signal::Connected { .. } => {
                        // If the link is gone already, `Closed` follows and says why.
                        let _gone = link.subscribe(filters, true);
                        continue;
                    }
                    Signal::Subscribed(Grant::Refused) => return Err(Refused),
                    Signal::Subscribed(_granted) => {
                        backoff.reset();
                        Heard::Listening
                    }
                    Signal::Message { topic, payload, .. } => Heard::Message { topic, payload },
                    Signal::Closed(reason) => Heard::Away(reason),
                    Signal::Sent(_) | Signal::Acknowledged(_) | Signal::Refused(..) => continue,
                };
                if !hear(heard) {
                    return Ok(());
                }
            }
        }
        tokio::time::sleep(backoff.pause(rand::random())).await;
    }
}
