//! What the publisher asks a broker for when it is let in: its retained messages, and to remember it.
//!
//! Two things that not every broker does are left out: it asks for each retained message by its name, because
//! RabbitMQ shows none to a filter with wildcards; and it holds one subscription at QoS 1, on a topic where
//! nothing is ever published, because RabbitMQ keeps no session for QoS 0 alone, and a session that is not
//! there again reads as a broker that has lost its state.

use crate::{
    domain::ModuleName,
    mirror::{
        message::topic::Topics,
        mqtt::{Link, NotSent},
    },
};

/// Filters in one packet, as long as [`PACKETS`] are enough: the broker of AWS takes no more.
const FILTERS: usize = 8;

/// Packets at most, so that they fit into the connection's queue whatever the number of modules is.
const PACKETS: usize = 7;

/// Asks for the retained messages of `modules`, and for a session that outlives the connection.
pub(super) fn ask(
    link: &Link,
    topics: &Topics,
    modules: &[ModuleName],
    client_id: &str,
) -> Result<(), NotSent> {
    link.subscribe(&[topics.session(client_id)], true)?;
    let filters: Vec<_> = modules
        .iter()
        .map(|module| topics.bookmark(module))
        .collect();
    let size = filters.len().div_ceil(PACKETS).max(FILTERS);
    filters
        .chunks(size)
        .try_for_each(|some| link.subscribe(some, false))
}
