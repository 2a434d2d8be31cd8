//! TLS as a client has it, and the keys of a listener that has it.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
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
        let mut roots = RootCertStore::empty();
        let ca = authority.certificate();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
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
