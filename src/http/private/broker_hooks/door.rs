//! Who may ask: whoever knows the secret, from where the brokers are. To all others it looks as if there were nothing.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;

use super::wrong::WrongLogins;
use crate::{
    config::auth::Auth,
    domain::Network,
    http::{private::nothing_here, serving::Peer},
    mirror::Hooks,
};

/// The door before the hooks.
#[derive(Default)]
pub struct Door {
    open: Option<Open>,
}

struct Open {
    secret: Box<str>,
    from: Vec<Network>,
    vhost: Arc<str>,
    hooks: Arc<Hooks>,
    wrong: Arc<WrongLogins>,
}

impl Door {
    /// A door for brokers at these addresses that know the secret, and for one virtual host of RabbitMQ. What are many wrong logins is said by `auth`.
    pub fn new(
        secret: &str,
        from: Vec<Network>,
        (vhost, auth): (&str, &Auth),
        hooks: Arc<Hooks>,
    ) -> Self {
        Self {
            open: Some(Open {
                secret: secret.into(),
                from,
                vhost: vhost.into(),
                hooks,
                wrong: Arc::new(WrongLogins::new(auth)),
            }),
        }
    }

    /// What answers behind it, in which virtual host, and who counts wrong logins.
    pub(super) fn hooks(&self) -> Option<(Arc<Hooks>, Arc<str>, Arc<WrongLogins>)> {
        let open = self.open.as_ref()?;
        let (hooks, vhost) = (Arc::clone(&open.hooks), Arc::clone(&open.vhost));
        Some((hooks, vhost, Arc::clone(&open.wrong)))
    }

    fn lets_in(&self, peer: Option<IpAddr>, path: &str) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        let said = path.split('/').nth(2).unwrap_or_default();
        let is_right = bool::from(open.secret.as_bytes().ct_eq(said.as_bytes()));
        let is_near = |peer| open.from.iter().any(|network| network.contains(peer));
        is_right & peer.is_some_and(is_near)
    }
}

/// Lets brokers pass.
pub(super) async fn check(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    if door.lets_in(peer, request.uri().path()) {
        return next.run(request).await;
    }
    nothing_here().await.into_response()
}
