//! Why a caller gets nothing.
//!
//! Invariant: what is said to the caller tells nothing of what would have been right.

use http::StatusCode;

/// Why a caller gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The request brings no credential that anybody here knows how to read.
    #[error("this needs a credential")]
    Missing,
    /// The credential is not accepted: forged, broken, revoked, or of somebody else's realm.
    #[error("the credential is not accepted")]
    NotAccepted,
    /// The credential was right once.
    #[error("the credential has expired")]
    Expired,
    /// The module takes other callers.
    #[error("this module is not for this caller")]
    NotThisModule,
    /// The audience is somebody else's.
    #[error("this audience is not the caller's")]
    NotItsAudience,
    /// The client id is somebody else's.
    #[error("this client id is not the caller's")]
    NotItsClient,
    /// Too many wrong credentials came from there, or too many requests.
    #[error("too many requests, come back later")]
    TooMany {
        /// When to come again.
        retry_after_s: u32,
    },
    /// Whoever knows the credential cannot be asked now.
    #[error("the credential cannot be checked now")]
    Unavailable {
        /// When to come again.
        retry_after_s: u32,
    },
}

impl Refused {
    /// The status of an answer in HTTP.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::NotAccepted | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::NotThisModule | Self::NotItsAudience | Self::NotItsClient => {
                StatusCode::FORBIDDEN
            }
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When the same request may succeed; `None` if it never will.
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::TooMany { retry_after_s } | Self::Unavailable { retry_after_s } => {
                Some(retry_after_s)
            }
            _ => None,
        }
    }

    /// As metrics call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotAccepted => "not_accepted",
            Self::Expired => "expired",
            Self::NotThisModule => "module",
            Self::NotItsAudience => "audience",
            Self::NotItsClient => "client",
            Self::TooMany { .. } => "too_many",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}
