//! What an act would change for the clients that are known of.

use super::{Census, evaluate};
use crate::{
    domain::{Audience, Client, Transport},
    store::{self, ClientFilter, KnownClient, StageRecord, Store},
};

/// Most clients that are named.
const SAMPLE: usize = 10;

/// Clients that are read at once.
const PAGE: u32 = 2_000;

/// Whom an act would move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// How many clients of the module are known of.
    pub known: usize,
    /// False if there are more than `census.clients`, and not all were looked at.
    pub is_complete: bool,
    /// Those who poll and would take the push.
    pub to_push: Moved,
    /// Those who take the push and would poll again.
    pub to_poll: Moved,
}

/// Clients that would be moved one way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub count: usize,
    /// Some of them, in the order of their ids.
    pub sample: Vec<String>,
}

impl Moved {
    fn add(&mut self, client: &Client<'_>) {
        self.count += 1;
        let at = self.sample.partition_point(|id| id.as_str() < client.id);
        if at < SAMPLE {
            self.sample.insert(at, client.id.to_owned());
            self.sample.truncate(SAMPLE);
        }
    }
}

impl Preview {
    /// Compares what each client is told with what it would be told: those whom this replica remembers, and those whom the others have
    /// written down or this one before its start.
    pub(super) async fn of(
        census: &Census,
        store: &dyn Store,
        before: &StageRecord,
        after: &StageRecord,
    ) -> store::Result<Self> {
        let mut preview = Self {
            is_complete: true,
            ..Self::default()
        };
        let module = &before.module;
        census.each(module, |client| preview.look_at(client, before, after));
        let settings = census.settings();
        if !settings.enabled {
            return Ok(preview);
        }
        let mut filter = ClientFilter {
            module: Some(module.clone()),
            within: settings.keep.get(),
            limit: PAGE,
            ..ClientFilter::default()
        };
        let mut read = 0;
        loop {
            let page = store.clients(&filter).await?;
            let others = page.iter().filter(|known| !known.client_id.is_empty());
            for known in others.filter(|known| !census.remembers(module, &known.client_id)) {
                preview.look_at_known(known, before, after);
            }
            read += page.len();
            let Some(last) = page.last().filter(|_| page.len() == PAGE as usize) else {
                break;
            };
            if read >= settings.clients {
                preview.is_complete = false;
                break;
            }
            filter.after = Some((last.module.to_string(), last.client_id.clone()));
        }
        Ok(preview)
    }

    fn look_at_known(&mut self, known: &KnownClient, before: &StageRecord, after: &StageRecord) {
        let audience = known.audience.as_deref().map(Audience::stored);
        let address = known.address.as_deref().and_then(|text| text.parse().ok());
        let client = Client {
            id: &known.client_id,
            audiences: audience.as_slice(),
            agent: known.agent.as_bytes(),
            address,
        };
        self.look_at(&client, before, after);
    }

    fn look_at(&mut self, client: &Client<'_>, before: &StageRecord, after: &StageRecord) {
        self.known += 1;
        let told = |record| evaluate(record, client).transport;
        match (told(before), told(after)) {
            (Transport::Poll, Transport::Push) => self.to_push.add(client),
            (Transport::Push, Transport::Poll) => self.to_poll.add(client),
            _ => {}
        }
    }
}
