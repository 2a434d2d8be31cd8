//! Why no answer came, and what helps: a sentence for each way in which a connection fails.
//!
//! Invariant: what failed is told by the types of the errors below, never by their words, which change from version to version.

use std::{error::Error, io};

use tokio::time::error::Elapsed;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use url::Url;

use super::Trouble;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{}", kind.words().0)]
pub struct Broken {
    /// What it was that failed.
    pub kind: BrokenAt,
    source: Box<dyn Error + Send + Sync>,
}

/// What it was that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenAt {
    /// The host has no address.
    Name,
    /// Nobody listens there.
    Refused,
    /// There is no way to it.
    Way,
    /// Nobody accepts in time.
    Accepting,
    /// Its certificate is nobody's whom we believe.
    Untrusted,
    /// Its certificate is of another name.
    OtherName,
    /// Its certificate is not valid at this time.
    OtherTime,
    /// It asks for a certificate that we do not show.
    NotLetIn,
    /// It speaks no TLS.
    NoTls,
    /// TLS fails in another way.
    Tls,
    /// It speaks no HTTP, or hears none.
    NoHttp,
    /// It accepts, and does not answer in time.
    Answering,
    /// The answer broke off.
    Answer,
    /// Something else.
    Other,
}

impl BrokenAt {
    /// What stands before the address, and what helps.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Name => (
                "no address is known for the host of",
                "is it written right, and does this machine's resolver know it?",
            ),
            Self::Refused => ("nothing answers at", "is `changeover serve` running?"),
            Self::Way => (
                "there is no way to",
                "is this machine connected, and is the address one that can be reached from here?",
            ),
            Self::Accepting => (
                "nobody accepts a connection in time at",
                "is the address right, and does every firewall on the way let it through?",
            ),
            Self::Untrusted => (
                "the certificate is not trusted of",
                "name the CA that has issued it with --ca-file; without it those of the system count",
            ),
            Self::OtherName => (
                "the certificate is for another name than that of",
                "ask by a name that stands in it, or have one issued for this name",
            ),
            Self::OtherTime => (
                "the certificate is not valid now of",
                "have it renewed, and look whether this machine's clock is right",
            ),
            Self::NotLetIn => (
                "we are not let in by",
                "it asks for a certificate of who connects: show one that it knows with --client-cert and --client-key",
            ),
            Self::NoTls => (
                "no TLS is spoken at",
                "if that listener has none, its URL begins with http://",
            ),
            Self::Tls => (
                "no TLS connection can be made with",
                "is that a listener of the gateway?",
            ),
            Self::NoHttp => (
                "no HTTP is spoken at",
                "if that listener has TLS, its URL begins with https://",
            ),
            Self::Answering => (
                "no answer in time from",
                "it accepts connections: is it busy, or something else than a gateway? Look whether an act was done before it is repeated",
            ),
            Self::Answer => (
                "the answer broke off from",
                "look whether an act was done before it is repeated",
            ),
            Self::Other => ("cannot ask", "see what follows"),
        }
    }
}

impl Broken {
    pub(super) fn at(kind: BrokenAt, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self { kind, source }
    }

    /// Nobody accepts in time.
    pub(super) fn accepting(late: Elapsed) -> Self {
        Self::at(BrokenAt::Accepting, late)
    }

    /// Nobody answers in time.
    pub(super) fn answering(late: Elapsed) -> Self {
        Self::at(BrokenAt::Answering, late)
    }

    /// No connection could be made to an address.
    pub(super) fn connecting(error: io::Error) -> Self {
        Self::at(of_connecting(&error), error)
    }

    /// TLS failed: before the first request, or when it was sent.
    pub(super) fn tls(error: io::Error) -> Self {
        let kind = of_tls(&error).unwrap_or(BrokenAt::Tls);
        Self::at(kind, error)
    }

    /// A request over TLS failed.
    pub(super) fn asking(error: hyper::Error) -> Self {
        // With TLS 1.3 a server refuses whom it does not know when the handshake is over.
        let kind = of_tls(&error).unwrap_or(BrokenAt::Answer);
        Self::at(kind, error)
    }

    /// What a command says of the listener that it asked.
    pub(in crate::cli) fn trouble(self, base: &Url, found_by: &str) -> Trouble {
        let (what, help) = self.kind.words();
        let found_by = if found_by.is_empty() {
            String::new()
        } else {
            format!(" ({found_by})")
        };
        Trouble::Unreachable {
            what: format!("{what} {base}{found_by}: {help}"),
            source: self.source,
        }
    }
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_timeout() && error.is_connect() {
            BrokenAt::Accepting
        } else if error.is_timeout() {
            BrokenAt::Answering
        } else if error.is_connect() {
            found::<io::Error>(&error).map_or(BrokenAt::Other, of_connecting)
        } else if error.is_body() || error.is_decode() {
            BrokenAt::Answer
        } else {
            found::<hyper::Error>(&error).map_or(BrokenAt::Other, of_http)
        };
        Self::at(kind, error.without_url())
    }
}

fn of_connecting(error: &io::Error) -> BrokenAt {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => BrokenAt::Refused,
        io::ErrorKind::TimedOut => BrokenAt::Accepting,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkDown => BrokenAt::Way,
        // What resolvers say has no kind of its own, and all that a socket says has a number.
        _ if error.raw_os_error().is_none() => BrokenAt::Name,
        _ => BrokenAt::Other,
    }
}

/// What TLS says of it; absent = nothing.
fn of_tls(error: &(dyn Error + 'static)) -> Option<BrokenAt> {
    let known = found::<rustls::Error>(error);
    if let Some(error) = known {
        return Some(match error {
            rustls::Error::InvalidCertificate(why) => of_certificate(why),
            rustls::Error::InvalidMessage(_) => BrokenAt::NoTls,
            rustls::Error::AlertReceived(alert) if is_about_us(*alert) => BrokenAt::NotLetIn,
            _ => BrokenAt::Tls,
        });
    }
    None
}

const fn of_certificate(why: &CertificateError) -> BrokenAt {
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            BrokenAt::OtherName
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => BrokenAt::OtherTime,
        _ => BrokenAt::Untrusted,
    }
}

/// Whether it is what a server says that lets nobody in whom it does not know.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    [
        Alert::CertificateRequired,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
    ]
    .contains(&alert)
}

fn of_http(error: &hyper::Error) -> BrokenAt {
    if error.is_parse() {
        BrokenAt::NoHttp
    } else {
        BrokenAt::Answer
    }
}

/// The first error of a type among an error and what caused it. Those that `io` wraps are no causes of its own.
fn found<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(known) = error.downcast_ref() {
            return Some(known);
        }
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
#[path = "broken_tests.rs"]
mod tests;
