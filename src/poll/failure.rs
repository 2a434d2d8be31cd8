//! Why a poll gets the error envelope.
//!
//! Invariant: status, metric and whether to come back are decided here, once, for every failure;
//! no message tells of SQL, paths or another client.

use std::borrow::Cow;

use http::StatusCode;

use super::meters::Answered;
use crate::{config::modules::Errors, identity::Refused, log::Busy};

/// Why a poll gets the error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A value of the request is not what the contract says.
    Malformed {
        /// `body`, or the value and where it stands: `cursor (form field since)`.
        what: Cow<'static, str>,
        /// What is wrong and what is allowed.
        why: Cow<'static, str>,
    },
    /// The caller is not known, or asks for what is not its own.
    Refused(Refused),
    /// The request names a module that its endpoint does not serve.
    UnknownModule,
    /// Not a method of this endpoint.
    Method,
    /// The body is larger than `poll.body_bytes`.
    BodyTooLarge,
    /// The body did not come, or not in time.
    BodyMissing,
    /// The module is at `retired`.
    Retired,
    /// The module is at `sunset`, and its polls are refused for a while, as planned.
    Brownout {
        /// When it ends.
        retry_after_s: u32,
    },
    /// The module is at `sunset`, and this client's polls are refused already.
    Blocked,
    /// The cursor is too old, and the module keeps no state to make up for it.
    TooOld,
    /// The database is needed for this answer and cannot be asked.
    Unavailable,
    /// Too many reads at once.
    Busy {
        /// What `Retry-After` says.
        retry_after_s: u32,
    },
    /// Path and query are longer than `server.max_url_bytes`.
    UrlTooLong,
    /// The state holds more than `modules[].poll.limit.max`, and to cut it would hide keys.
    StateTooLarge,
    /// A bug of ours.
    Panicked,
}

impl Failure {
    /// One of each kind.
    pub(super) fn all() -> [Self; 18] {
        [
            Self::Malformed {
                what: "cursor".into(),
                why: "must be what it should be".into(),
            },
            Self::Refused(Refused::Missing),
            Self::Refused(Refused::NotItsAudience),
            Self::Refused(Refused::TooMany { retry_after_s: 6 }),
            Self::Refused(Refused::Unavailable { retry_after_s: 6 }),
            Self::UnknownModule,
            Self::Method,
            Self::BodyTooLarge,
            Self::BodyMissing,
            Self::Retired,
            Self::Brownout { retry_after_s: 900 },
            Self::Blocked,
            Self::TooOld,
            Self::Unavailable,
            Self::Busy { retry_after_s: 6 },
            Self::UrlTooLong,
            Self::StateTooLarge,
            Self::Panicked,
        ]
    }

    /// When it happens, for the description of an endpoint.
    pub(super) const fn occasion(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "a value of the request is not as it should be",
            Self::Refused(Refused::Missing | Refused::NotAccepted | Refused::Expired) => {
                "the caller is not known"
            }
            Self::Refused(
                Refused::NotThisModule | Refused::NotItsAudience | Refused::NotItsClient,
            ) => "module, audience or client id are not the caller's",
            Self::Refused(Refused::TooMany { .. }) => "too many requests of one caller or address",
            Self::Refused(Refused::Unavailable { .. }) => "the caller cannot be told now",
            Self::UnknownModule => "there is no such module",
            Self::Method => "the method is another",
            Self::BodyTooLarge => "the body is larger than `poll.body_bytes`",
            Self::BodyMissing => "the body did not arrive",
            Self::Retired => "the module is at `retired`",
            Self::Brownout { .. } => "the module is at `sunset`, in a brown-out",
            Self::Blocked => "the module is at `sunset`, and refuses this client",
            Self::TooOld => "the cursor is too old, and the module keeps no state",
            Self::Unavailable => "the answer cannot be given now",
            Self::Busy { .. } => "too many read at once",
            Self::UrlTooLong => "path and query are longer than `server.max_url_bytes`",
            Self::StateTooLarge => "the state is larger than the limit",
            Self::Panicked => "the gateway failed",
        }
    }

    /// The status that says what happened.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Refused(refused) => refused.status(),
            Self::UnknownModule => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyMissing => StatusCode::REQUEST_TIMEOUT,
            Self::Retired | Self::Blocked | Self::TooOld => StatusCode::GONE,
            Self::Brownout { .. } | Self::Unavailable | Self::Busy { .. } | Self::StateTooLarge => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status that is configured for it.
    pub(super) const fn status_in(&self, errors: &Errors) -> Option<u16> {
        match self {
            Self::Malformed { .. } | Self::UnknownModule | Self::UrlTooLong => errors.malformed,
            Self::Refused(refused) => match refused {
                Refused::Missing | Refused::NotAccepted | Refused::Expired => errors.unauthorized,
                Refused::NotThisModule | Refused::NotItsAudience | Refused::NotItsClient => {
                    errors.forbidden
                }
                Refused::TooMany { .. } => errors.too_many,
                Refused::Unavailable { .. } => errors.unavailable,
            },
            Self::Method => errors.method,
            Self::BodyTooLarge => errors.too_large,
            Self::BodyMissing => errors.no_body,
            Self::Retired | Self::Blocked => errors.retired,
            Self::TooOld => errors.too_old,
            Self::Brownout { .. } | Self::Unavailable | Self::Busy { .. } | Self::StateTooLarge => {
                errors.unavailable
            }
            Self::Panicked => errors.failed,
        }
    }

    /// The sentence for the client.
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Malformed { what, why } => format!("{what}: {why}").into(),
            Self::Refused(refused) => refused.to_string().into(),
            Self::UnknownModule => "this module is not served here".into(),
            Self::Method => "the method is not allowed here".into(),
            Self::BodyTooLarge => "the body is too large".into(),
            Self::BodyMissing => "the body did not arrive".into(),
            Self::Retired => "this endpoint has been retired".into(),
            Self::Brownout { .. } => {
                "this endpoint is about to be retired and refuses polls for a while, as announced"
                    .into()
            }
            Self::Blocked => {
                "this endpoint is about to be retired and answers this client no more".into()
            }
            Self::TooOld => "the cursor is too old: begin again without one".into(),
            Self::Unavailable | Self::Busy { .. } | Self::StateTooLarge => {
                "the answer cannot be given now, come back later".into()
            }
            Self::UrlTooLong => "path and query are too long".into(),
            Self::Panicked => "the answer failed".into(),
        }
    }

    /// How the answer is counted.
    pub(super) const fn answered(&self) -> Answered {
        match self {
            Self::Retired | Self::Blocked | Self::TooOld => Answered::Gone,
            Self::Malformed { .. }
            | Self::Refused(_)
            | Self::UnknownModule
            | Self::Method
            | Self::BodyTooLarge
            | Self::BodyMissing
            | Self::Brownout { .. }
            | Self::Unavailable
            | Self::Busy { .. }
            | Self::UrlTooLong
            | Self::StateTooLarge
            | Self::Panicked => Answered::Error,
        }
    }

    /// When the same request may succeed: what `Retry-After` says, or `usual_s` where nothing better
    /// is known. `None` if it never will.
    pub const fn retry_after_s(&self, usual_s: u32) -> Option<u32> {
        match self {
            Self::Busy { retry_after_s } | Self::Brownout { retry_after_s } => Some(*retry_after_s),
            Self::Unavailable | Self::StateTooLarge => Some(usual_s),
            Self::Refused(refused) => refused.retry_after_s(),
            Self::Malformed { .. }
            | Self::UnknownModule
            | Self::Method
            | Self::BodyTooLarge
            | Self::BodyMissing
            | Self::Retired
            | Self::Blocked
            | Self::TooOld
            | Self::UrlTooLong
            | Self::Panicked => None,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Busy> for Failure {
    fn from(busy: Busy) -> Self {
        Self::Busy {
            retry_after_s: busy.retry_after_s,
        }
    }
}
