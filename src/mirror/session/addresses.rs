//! Where clients find a target: the URLs of its description.

use crate::{
    config::mqtt::Target,
    mirror::{Bound, message::asyncapi},
};

/// URLs without user and password.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) mqtt: Option<String>,
    pub(super) websocket: Option<String>,
}

impl Address {
    pub(super) fn of(target: &Target, bound: Bound) -> Self {
        let [mqtt, websocket] = asyncapi::urls(target, bound);
        Self { mqtt, websocket }
    }
}
