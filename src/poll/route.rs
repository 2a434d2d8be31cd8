//! What answers at one path: an endpoint, or several that the request chooses from.
//!
//! Invariant: a request that no module can be told from gets the envelope of its path.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Method, Response};

use super::{
    answer::Endpoint,
    batch_answer::BatchEndpoint,
    compat::Compat,
    content::BodyKind,
    described::{Described, Whom},
    failure::Failure,
    request::{find, located, malformed},
    site::{Members, Serves, Site},
    source::{Parts, Source},
    sources::Sources,
};
use crate::config::{self, modules};

/// What answers at one path, for some methods.
pub struct Route {
    /// The module's; with several modules the one of no module, for what concerns them all.
    endpoint: Endpoint,
    serves: Answers,
}

enum Answers {
    Module,
    Named(Source, Endpoints),
    Batch(BatchEndpoint),
}

/// Endpoints by what clients call their modules.
pub(super) type Endpoints = HashMap<Box<str>, Endpoint>;

impl Route {
    /// Sets a site to work. To be called after the metrics recorder is installed.
    pub fn new(site: Site, sources: &Arc<Sources>, config: &config::poll::Poll) -> Self {
        let endpoint = |contract| Endpoint::new(contract, Arc::clone(sources), config);
        let endpoints = |members: Members| {
            let each = members.into_iter();
            each.map(|(called, contract)| (called, endpoint(contract)))
                .collect::<Endpoints>()
        };
        Self {
            serves: match site.serves {
                Serves::Module => Answers::Module,
                Serves::Named(source, members) => Answers::Named(source, endpoints(members)),
                Serves::Batch(batch, members) => {
                    Answers::Batch(BatchEndpoint::new(batch, endpoints(members)))
                }
            },
            endpoint: endpoint(site.contract),
        }
    }

    /// The path, with `{name}` for a captured segment.
    pub fn path(&self) -> &str {
        self.endpoint.contract().path()
    }

    /// Every path that it answers at.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.endpoint.contract().paths()
    }

    /// The quirks of its clients; `None` if there are none.
    pub fn compat(&self) -> Option<&Compat> {
        self.endpoint.contract().compat.as_deref()
    }

    /// Whether values come from the path.
    pub fn captures(&self) -> bool {
        self.endpoint.contract().captures()
    }

    /// What the body has to be; `None` if nothing is taken from it.
    pub const fn body(&self) -> Option<BodyKind> {
        self.endpoint.contract().body_kind
    }

    /// Whether it answers requests of a method.
    pub fn allows(&self, method: &Method) -> bool {
        let methods = self.endpoint.contract().methods();
        match *method {
            Method::GET | Method::HEAD => methods.contains(&modules::Method::Get),
            Method::POST => methods.contains(&modules::Method::Post),
            Method::PUT => methods.contains(&modules::Method::Put),
            _ => false,
        }
    }

    /// What it takes and answers, for the description of the listener.
    pub fn described(&self) -> Described {
        let contract = self.endpoint.contract();
        let asks = !self.endpoint.sources.identity.is_open();
        match &self.serves {
            Answers::Module => Described::of(contract, Whom::Module, asks),
            Answers::Named(source, endpoints) => {
                Described::of(contract, Whom::Named(source, &names(endpoints)), asks)
            }
            Answers::Batch(batch) => {
                let whom = Whom::Batch {
                    source: &batch.source(),
                    names: &names(batch.endpoints()),
                    is_list: batch.is_list(),
                };
                Described::of(contract, whom, asks)
            }
        }
    }

    /// Answers a poll.
    pub async fn answer(&self, parts: &Parts<'_>) -> Response<Bytes> {
        match &self.serves {
            Answers::Module => self.endpoint.answer(parts).await,
            Answers::Named(source, endpoints) => match self.choose(source, endpoints, parts) {
                Ok(endpoint) => endpoint.answer(parts).await,
                // Boxed, since hardly any request comes to it.
                Err(refusal) => Box::pin(self.refuse_stranger(parts))
                    .await
                    .unwrap_or(*refusal),
            },
            // Boxed: its size would be that of every answer.
            Answers::Batch(batch) => Box::pin(batch.answer(&self.endpoint, parts)).await,
        }
    }

    /// Which modules there are is not told to somebody whom nobody knows.
    async fn refuse_stranger(&self, parts: &Parts<'_>) -> Option<Response<Bytes>> {
        let begun = Instant::now();
        let refused = self.endpoint.who(parts).await.err()?;
        let refusal = self
            .endpoint
            .refuse_unattributed(&refused.into(), None, begun);
        Some(refusal)
    }

    /// The error envelope for a request that was not, or could not be, read.
    pub fn refuse_unread(&self, failure: &Failure) -> Response<Bytes> {
        self.endpoint.refuse_unread(failure)
    }

    /// The endpoint of the module that the request names.
    fn choose<'e>(
        &self,
        source: &Source,
        endpoints: &'e Endpoints,
        parts: &Parts<'_>,
    ) -> Result<&'e Endpoint, Box<Response<Bytes>>> {
        let begun = Instant::now();
        let refuse = |failure: &Failure, called: Option<&str>| {
            tracing::debug!(path = self.path(), ?failure, "a poll was refused");
            let envelope = &self.endpoint;
            Box::new(envelope.refuse_unattributed(failure, called, begun))
        };
        let called = module_name(source, parts).map_err(|failure| refuse(&failure, None))?;
        let found = endpoints.get(&*called);
        found.ok_or_else(|| refuse(&Failure::UnknownModule, Some(&called)))
    }
}

fn names(endpoints: &Endpoints) -> Vec<&str> {
    let mut names: Vec<_> = endpoints.keys().map(|called| &**called).collect();
    names.sort_unstable();
    names
}

fn module_name<'a>(source: &Source, parts: &Parts<'a>) -> Result<Cow<'a, str>, Failure> {
    let found = find(Some(source), "module", parts);
    let named = found.and_then(|found| found.ok_or_else(|| malformed("module", "is missing")));
    located(named, Some(source))
}
