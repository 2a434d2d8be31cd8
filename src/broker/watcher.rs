//! Tells the census who is connected and subscribed.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientSubscribeEvent,
    ClientUnsubscribeEvent, SubAckReasonCode,
};

use super::gate::GATEWAY_USER;
use crate::cutover::Census;

/// What the broker tells of its clients.
pub(super) struct Watcher {
    census: Arc<Census>,
}

type Done<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Watcher {
    pub(super) const fn new(census: Arc<Census>) -> Self {
        Self { census }
    }
}

const fn is_granted(answer: SubAckReasonCode) -> bool {
    use SubAckReasonCode::{GrantedQoS0, GrantedQoS1, GrantedQoS2};
    matches!(answer, GrantedQoS0 | GrantedQoS1 | GrantedQoS2)
}

impl BrokerEventHandler for Watcher {
    fn on_client_connect(&self, event: ClientConnectEvent) -> Done<'_> {
        if event.user_id.as_deref() != Some(GATEWAY_USER) {
            let kept = Duration::from_secs(u64::from(event.session_expiry_interval));
            let presence = self.census.presence();
            presence.connects(&event.client_id, event.clean_start, kept, Instant::now());
        }
        Box::pin(ready(()))
    }

    fn on_client_subscribe(&self, event: ClientSubscribeEvent) -> Done<'_> {
        let granted = event
            .subscriptions
            .iter()
            .filter(|one| is_granted(one.result));
        let filters = granted.map(|one| &*one.topic_filter);
        let presence = self.census.presence();
        presence.subscribes(&event.client_id, filters, Instant::now());
        Box::pin(ready(()))
    }

    fn on_client_unsubscribe(&self, event: ClientUnsubscribeEvent) -> Done<'_> {
        let filters = event.topic_filters.iter().map(|filter| &**filter);
        let presence = self.census.presence();
        presence.unsubscribes(&event.client_id, filters, Instant::now());
        Box::pin(ready(()))
    }

    fn on_client_disconnect(&self, event: ClientDisconnectEvent) -> Done<'_> {
        let presence = self.census.presence();
        presence.disconnects(&event.client_id, Instant::now());
        Box::pin(ready(()))
    }
}
