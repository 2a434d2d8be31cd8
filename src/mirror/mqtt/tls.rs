//! TLS to a broker: whom we believe, and how we show who we are.
//!
//! Invariants: a broker is known by a certificate of a believed CA for the host that the URL names, and there is no
//! switch that leaves this out. Files are read at each use, so that what is renewed counts from the next connection
//! on. No message holds anything of a file's content.

use std::{fs, io::Read, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::config::{login::Unusable, target_link::TlsFiles};

/// What is spoken to a broker, made of the files as they are now.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, Unusable> {
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Everything that is wrong with the files.
pub(super) fn problems(files: &TlsFiles) -> Vec<Unusable> {
    let mut found: Vec<_> = believed(files).err().into_iter().collect();
    if let Some((certificate, key)) = &files.client {
        found.extend(chain_of(certificate).err());
        found.extend(key_of(key).err());
        let known = |one: &Unusable| found.iter().any(|other| other.key == one.key);
        let misfit = identity(files).err().filter(|one| !known(one));
        found.extend(misfit);
    }
    found
}

/// The CAs by which the broker is known.
fn believed(files: &TlsFiles) -> Result<RootCertStore, Unusable> {
    match &files.ca {
        Some(path) => roots_of(path),
        None => roots_of_system(),
    }
}

/// What the gateway shows of itself.
fn identity(files: &TlsFiles) -> Result<Option<CertifiedKey>, Unusable> {
    let Some((certificate, key)) = &files.client else {
        return Ok(None);
    };
    let made = CertifiedKey::from_der(chain_of(certificate)?, key_of(key)?, &provider());
    let made = made.map_err(|error| unusable("client_key_file", key, key_misfit(&error)))?;
    Ok(Some(made))
}

fn roots_of(path: &Path) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of("ca_file", path)? {
        roots.add(certificate).map_err(|_| {
            unusable(
                "ca_file",
                path,
                "holds a certificate that cannot be that of a CA",
            )
        })?;
    }
    Ok(roots)
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

/// The gateway's own certificate and what leads from it to its CA.
pub(super) fn chain_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    certificates_of("client_cert_file", path)
}

fn certificates_of(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = read(key, path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    // The library's own words would show a line of the file.
    let found = found.map_err(|_| unusable(key, path, "is not PEM"))?;
    if found.is_empty() {
        return Err(unusable(key, path, "holds no certificate in PEM"));
    }
    Ok(found)
}

fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>, Unusable> {
    const KEY: &str = "client_key_file";
    let text = read(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        let why = match error {
            _ if encrypted => {
                "holds an encrypted key: store it as it is, readable by the gateway only"
            }
            pem::Error::NoItemsFound => "holds no private key in PEM",
            _ => "is not PEM",
        };
        unusable(KEY, path, why)
    })
}

fn key_misfit(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "does not belong to the certificate of client_cert_file"
        }
        rustls::Error::InvalidCertificate(_) => {
            "cannot be compared: the certificate of client_cert_file cannot be read"
        }
        _ => {
            "holds a key of a kind that is not supported: use RSA, ECDSA P-256 or P-384, or Ed25519"
        }
    }
}

/// The largest file of certificates that is read: a whole system's CAs take a quarter of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unusable(key, path, &format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable(key, path, "is larger than 1 MiB"));
    }
    Ok(bytes)
}

pub(super) fn unusable(key: &'static str, path: &Path, why: &str) -> Unusable {
    let why = format!("{}: {why}", path.display());
    Unusable { key, why }
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
