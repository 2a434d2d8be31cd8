//! Callers as a door meets them: whole configurations, real keys, real sockets.

mod forward;
mod hostile;
mod issuers;
mod keys;
mod kinds;
mod measured;
mod properties;
mod server;
mod tokens;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Accepted, Asking, Identity, Refused, Who};
use crate::{
    config::{Config, Problems},
    domain::{Clock, Micros},
};

/// A clock that is set.
pub(super) struct Hand(AtomicI64);

/// 2026-01-01.
pub(super) const NOW_S: i64 = 1_767_225_600;

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW_S * 1_000_000)))
    }

    fn forward(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(Ordering::Relaxed))
    }
}

fn config(toml: &str) -> Config {
    let config: Config = toml::from_str(toml).unwrap();
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    config
}

fn identity(toml: &str) -> (Identity, Arc<Hand>) {
    let clock = Hand::new();
    let identity = Identity::new(&config(toml), clock.clone(), [3; 16]);
    (
        identity.unwrap_or_else(|problems| panic!("{problems}")),
        clock,
    )
}

/// A request.
#[derive(Default)]
struct Given {
    headers: HeaderMap,
    query: Option<String>,
    from: Option<IpAddr>,
}

fn bearer(token: &str) -> Given {
    Given::default().with("authorization", &format!("Bearer {token}"))
}

impl Given {
    fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers
            .append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    fn from(mut self, address: &str) -> Self {
        self.from = Some(address.parse().unwrap());
        self
    }

    async fn of(&self, identity: &Identity) -> Result<Who, Refused> {
        self.at(identity, Accepted::ALL).await
    }

    async fn at(&self, identity: &Identity, accepted: Accepted) -> Result<Who, Refused> {
        let address = self.from.unwrap_or(IpAddr::from([192, 0, 2, 1]));
        let asking = Asking {
            headers: &self.headers,
            query: self.query.as_deref(),
            peer: address,
            address,
        };
        identity.who(&asking, accepted).await
    }
}

/// Who it is, in a line: `realm:id [audiences]`.
fn told(who: &Result<Who, Refused>) -> String {
    match who {
        Ok(Who::Open) => "open".to_owned(),
        Ok(Who::Known(caller)) => {
            let audiences: Vec<_> = caller.audiences.iter().map(ToString::to_string).collect();
            format!("{}:{} [{}]", caller.realm, caller.id, audiences.join(" "))
        }
        Err(refused) => refused.label().to_owned(),
    }
}
