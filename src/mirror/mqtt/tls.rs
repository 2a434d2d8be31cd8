//! TLS to a broker: whom we believe, and how we show who we are.
//!
//! Invariants: a broker is known by a certificate of a believed CA for the host that the URL names, and there is no
//! switch that leaves this out. Files are read at each use, so that what is renewed counts from the next connection
//! on. No message holds anything of a file's content.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore,
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::config::{
    login::Unusable,
    pem::{self, Named, provider},
    target_link::TlsFiles,
};

/// What is spoken to a server, made of the files as they are now.
pub fn client_config(files: &TlsFiles) -> Result<ClientConfig, Unusable> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has what both versions of TLS need")
        .with_root_certificates(believed(files)?);
    Ok(match identity(files)? {
        Some(identity) => {
            let only = SingleCertAndKey::from(identity);
            builder.with_client_cert_resolver(Arc::new(only))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Everything that is wrong with the files.
pub(super) fn problems(files: &TlsFiles) -> Vec<Unusable> {
    let mut found: Vec<_> = believed(files).err().into_iter().collect();
    if let Some((certificate, key)) = of_client(files) {
        found.extend(pem::problems(certificate, key));
    }
    found
}

/// The gateway's own certificate, and its key.
pub(super) fn of_client(files: &TlsFiles) -> Option<(Named<'_>, Named<'_>)> {
    let (certificate, key) = files.client.as_ref()?;
    Some((
        Named::new("client_cert_file", certificate),
        Named::new("client_key_file", key),
    ))
}

/// The CAs by which the broker is known.
fn believed(files: &TlsFiles) -> Result<RootCertStore, Unusable> {
    match &files.ca {
        Some(path) => Named::new("ca_file", path).roots(),
        None => roots_of_system(),
    }
}

/// What the gateway shows of itself.
fn identity(files: &TlsFiles) -> Result<Option<CertifiedKey>, Unusable> {
    let files = of_client(files);
    files
        .map(|(certificate, key)| pem::certified(certificate, key))
        .transpose()
}

fn roots_of_system() -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (believed, _strange) = roots.add_parsable_certificates(found.certs);
    if believed == 0 {
        return Err(Unusable {
            key: "ca_file",
            why: "is absent, and the system knows no CAs: name one, or install the package ca-certificates".to_owned(),
        });
    }
    Ok(roots)
}

/// Why TLS with `host` failed, with the key that may help.
pub(super) fn explain(error: &rustls::Error, host: &str, files: &TlsFiles) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(why) => return untrusted(why, host, files),
        rustls::Error::AlertReceived(alert) => return refused(*alert, files),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it speaks no TLS on this port"
        }
        other => return format!("TLS failed: {other}"),
    };
    format!("TLS failed: {why}")
}

fn untrusted(why: &CertificateError, host: &str, files: &TlsFiles) -> String {
    let why = match why {
        CertificateError::UnknownIssuer if files.ca.is_some() => {
            "is not of a CA in `ca_file`".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "is not of a CA that the system believes: name its own by `ca_file`".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("is not for `{host}`: the URL must name the broker as its certificate does")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: compare the clocks".to_owned()
        }
        other => format!("cannot be believed: {other}"),
    };
    format!("the broker's certificate {why}")
}

fn refused(alert: AlertDescription, files: &TlsFiles) -> String {
    use AlertDescription as Alert;
    let why = match alert {
        Alert::CertificateRequired | Alert::HandshakeFailure if files.client.is_none() => {
            "it asks for a client certificate: set `client_cert_file` and `client_key_file`"
        }
        Alert::CertificateExpired => "our client certificate has expired",
        Alert::CertificateRevoked => "our client certificate is revoked",
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::AccessDenied => "it does not believe our client certificate",
        Alert::ProtocolVersion => "it speaks neither TLS 1.3 nor TLS 1.2",
        other => return format!("the broker ended TLS: {other:?}"),
    };
    format!("the broker ended TLS: {why}")
}
