//! The files of a listener, read.

use std::{sync::Arc, time::SystemTime};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring::Ticketer,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};

use crate::config::{
    listener_tls::ListenerTls,
    login::Unusable,
    pem::{self, Age, Named, provider},
};

/// What tells the content of files from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(files: &ListenerTls) -> Self {
        let mut all = Sha256::new();
        let named = [
            Some(files.certificate()),
            Some(files.key()),
            files.client_ca(),
        ];
        for file in named.into_iter().flatten() {
            // A file that cannot be read is none, whatever the reason.
            let content = file.read().map(Sha256::digest);
            all.update([u8::from(content.is_ok())]);
            all.update(content.unwrap_or_default());
        }
        Self(all.finalize().into())
    }
}

/// What a file holds; none = it cannot be read.
pub(super) fn digest(file: Named<'_>) -> Option<[u8; 32]> {
    file.read()
        .ok()
        .map(|content| Sha256::digest(content).into())
}

/// What a listener shows, made of the files as they are now.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// Until when its certificate is valid.
    pub(super) until: Option<SystemTime>,
}

impl Loaded {
    pub(super) fn read(files: &ListenerTls) -> Result<Self, Unusable> {
        let identity = pem::certified(files.certificate(), files.key())?;
        let until = identity.cert.first().and_then(pem::validity);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has what both versions of TLS need");
        let only = Arc::new(SingleCertAndKey::from(identity));
        let mut config = match files.client_ca() {
            None => builder.with_no_client_auth().with_cert_resolver(only),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(file.roots()?),
                    provider(),
                );
                let verifier = verifier
                    .build()
                    .map_err(|_| file.unusable("holds no CA that clients could have"))?;
                builder
                    .with_client_cert_verifier(verifier)
                    .with_cert_resolver(only)
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        resume(&mut config, files.client_ca());
        Ok(Self {
            config: Arc::new(config),
            until: until.map(|(_, until)| until),
        })
    }

    /// The same. A certificate that is another one than what is `shown` has to be valid now; else what has changed is the CA of the
    /// clients, of which nothing may wait for a better certificate.
    pub(super) fn newer(
        files: &ListenerTls,
        shown: Option<[u8; 32]>,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        if digest(files.certificate()) == shown {
            return Self::read(files);
        }
        match pem::age(files.certificate(), now) {
            Age::Bad(why) => Err(why),
            Age::Good | Age::Ending(_) => Self::read(files),
        }
    }
}

/// A reconnect of everybody costs a signature each; with a ticket it does not. Who has to show a certificate shows it each time, so
/// that one which has expired ends nowhere but at the door.
fn resume(config: &mut ServerConfig, client_ca: Option<Named<'_>>) {
    if client_ca.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
}
