//! Certificates and keys in files, as TLS needs them.
//!
//! Invariants: no message holds anything of a file's content; a file that cannot be right is refused by the key that names it; the
//! cryptography is ring's, named at each use, and never a default of the process.

use std::{
    fs,
    io::Read,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_rustls::rustls::{
    self, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use x509_cert::{Certificate, der::Decode, time::Time};

use super::login::Unusable;

/// A file, and the key that names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The key, without what stands before it.
    pub key: &'static str,
    /// Where the file is.
    pub path: &'a Path,
}

/// The cryptography of every connection over TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl<'a> Named<'a> {
    /// A file, and the key that names it.
    pub const fn new(key: &'static str, path: &'a Path) -> Self {
        Self { key, path }
    }

    /// Something is wrong with it.
    pub fn unusable(self, why: &str) -> Unusable {
        let why = format!("{}: {why}", self.path.display());
        Unusable { key: self.key, why }
    }

    /// Its content.
    pub fn read(self) -> Result<Vec<u8>, Unusable> {
        let mut bytes = Vec::new();
        let read = fs::File::open(self.path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|error| self.unusable(&format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(self.unusable("is larger than 1 MiB"));
        }
        Ok(bytes)
    }

    /// Its certificates, of which there is at least one.
    pub fn certificates(self) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let text = self.read()?;
        let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
        // The library's own words would show a line of the file.
        let found = found.map_err(|_| self.unusable("is not PEM"))?;
        if found.is_empty() {
            return Err(self.unusable("holds no certificate in PEM"));
        }
        Ok(found)
    }

    /// Its certificates as those of CAs.
    pub fn roots(self) -> Result<RootCertStore, Unusable> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = roots.add(certificate);
            added.map_err(|_| self.unusable("holds a certificate that cannot be that of a CA"))?;
        }
        Ok(roots)
    }

    /// Its private key.
    pub fn private_key(self) -> Result<PrivateKeyDer<'static>, Unusable> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
            self.unusable(match error {
                _ if encrypted => {
                    "holds an encrypted key: store it as it is, readable by the gateway only"
                }
                pem::Error::NoItemsFound => "holds no private key in PEM",
                _ => "is not PEM",
            })
        })
    }
}

/// The largest file of certificates that is read: a whole system's CAs take a quarter of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A certificate, what leads from it to its CA, and the key that belongs to it.
pub fn certified(certificate: Named<'_>, key: Named<'_>) -> Result<CertifiedKey, Unusable> {
    let made = CertifiedKey::from_der(certificate.certificates()?, key.private_key()?, &provider());
    made.map_err(|error| key.unusable(&misfit(&error, certificate.key)))
}

/// Everything that is wrong with such a pair.
pub fn problems(certificate: Named<'_>, key: Named<'_>) -> Vec<Unusable> {
    let mut found: Vec<_> = certificate.certificates().err().into_iter().collect();
    found.extend(key.private_key().err());
    if found.is_empty() {
        found.extend(certified(certificate, key).err());
    }
    found
}

fn misfit(error: &rustls::Error, certificate: &str) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("does not belong to the certificate of {certificate}")
        }
        rustls::Error::InvalidCertificate(_) => {
            format!("cannot be compared: the certificate of {certificate} cannot be read")
        }
        _ => {
            "holds a key of a kind that is not supported: use RSA, ECDSA P-256 or P-384, or Ed25519"
                .to_owned()
        }
    }
}

/// From when and until when a certificate is valid; `None` if it cannot be read.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let time = |time: Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
    Some((time(validity.not_before), time(validity.not_after)))
}

/// What the time says of a certificate.
#[derive(Debug)]
pub enum Age {
    /// It is valid, and will be for a while.
    Good,
    /// It is valid, and must be renewed.
    Ending(Unusable),
    /// It is not valid.
    Bad(Unusable),
}

/// From how long before its end on a certificate is warned of.
const SOON: Duration = Duration::from_hours(30 * 24);

/// What the time says of the certificate in a file. One that cannot be read has no age.
pub fn age(file: Named<'_>, now: SystemTime) -> Age {
    let chain = file.certificates().unwrap_or_default();
    let Some((from, until)) = chain.first().and_then(validity) else {
        return Age::Good;
    };
    let told = |why: &str, time| {
        file.unusable(&format!(
            "{why} {}",
            humantime::format_rfc3339_seconds(time)
        ))
    };
    if until < now {
        return Age::Bad(told("has expired on", until));
    }
    if now < from {
        return Age::Bad(told("is not valid before", from));
    }
    if until < now + SOON {
        return Age::Ending(told("expires on", until));
    }
    Age::Good
}
