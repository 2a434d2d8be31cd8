//! TLS as a client has it, and the keys of a listener that has it.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ConfigBuilder, Error, RootCertStore, SupportedProtocolVersion, WantsVerifier,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
        time_provider::TimeProvider,
        version::{TLS12, TLS13},
    },
};

use super::{
    gateway::Setup,
    links::Files,
    pki::{Authority, Issued},
    socket::{Socket, address},
};

/// Both versions.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A connection over TLS.
pub type SecureSocket = Socket<TlsStream<TcpStream>>;

/// A clock that stands in July 2020.
#[derive(Debug)]
struct In2020;

impl TimeProvider for In2020 {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = Duration::from_hours(442_656);
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}

/// How to speak to a listener whose certificate is of this CA.
#[derive(Clone)]
pub struct Trust(TlsConnector);

impl Trust {
    pub fn of(authority: &Authority) -> Self {
        Self::with(authority, &VERSIONS, None)
    }

    /// In these versions, showing a certificate if there is one.
    pub fn with(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Issued>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        Self::made(authority, builder.with_protocol_versions(versions), own)
    }

    /// In the middle of 2020, as for a client whose clock stands still: a certificate that ended later has not ended for it.
    pub fn in_2020(authority: &Authority, own: &Issued) -> Self {
        let (provider, clock) = (Arc::new(ring::default_provider()), Arc::new(In2020));
        let builder = ClientConfig::builder_with_details(provider, clock);
        Self::made(
            authority,
            builder.with_protocol_versions(&VERSIONS),
            Some(own),
        )
    }

    fn made(
        authority: &Authority,
        builder: Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error>,
        own: Option<&Issued>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = authority.certificate();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![der(own)];
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Connects to a URL without a path.
    pub async fn connect(&self, url: &str) -> std::io::Result<SecureSocket> {
        let stream = TcpStream::connect(address(url)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Socket(self.0.connect(name, stream).await?))
    }
}

impl SecureSocket {
    /// What the listener has shown of itself.
    pub fn shown(&self) -> CertificateDer<'static> {
        let (_, connection) = self.0.get_ref();
        connection.peer_certificates().unwrap()[0].clone()
    }

    /// The protocol that was agreed on.
    pub fn agreed(&self) -> Option<Vec<u8>> {
        self.0.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    }
}

/// A certificate as it is sent.
pub fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Gives a listener a certificate: `NAME.pem` and `NAME.key`, where `NAME` is the listener's.
pub fn shows(setup: Setup, listener: &str, files: &Files, issued: &Issued) -> Setup {
    files.client(listener, issued);
    let path = |end: &str| files.path(&format!("{listener}.{end}"));
    setup
        .set(
            &format!("server.{listener}_tls.cert_file"),
            path("pem").display(),
        )
        .set(
            &format!("server.{listener}_tls.key_file"),
            path("key").display(),
        )
}
