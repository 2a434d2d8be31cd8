//! Why an evaluation was not done, in the words of the protocol.

use axum::{
    body::Bytes,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::public::request_body::Unread,
    identity::{Places, Refused},
};

/// Why an evaluation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The body cannot be read.
    #[error("the body: {0}")]
    Parse(String),
    /// Nobody says who asks.
    #[error("context.targetingKey is missing: it is the id of the client")]
    NoTargetingKey,
    /// What is said of the client may not be.
    #[error("the context: {0}")]
    Context(String),
    /// The caller is not known, or asks for what is not its own.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such flag.
    #[error(
        "there is no flag of this key: flags are `module.` and the name of a configured module"
    )]
    UnknownFlag,
    /// The body is not there.
    #[error(transparent)]
    Unread(#[from] Unread),
}

/// A refusal (OFREP 0.3).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlagFailure)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::public) struct FailureBody<'a> {
    /// Of the flag that was asked for; absent if all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// What kind of failure it is.
    #[schema(value_type = ErrorCode)]
    error_code: &'static str,
    /// What is wrong with this request.
    error_details: String,
}

/// As `errorCode` is written.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "it only describes what `Failure::code` says")]
pub(in crate::http::public) enum ErrorCode {
    ParseError,
    TargetingKeyMissing,
    InvalidContext,
    FlagNotFound,
    General,
}

impl Failure {
    const fn code(&self) -> &'static str {
        match self {
            Self::Parse(_) => "PARSE_ERROR",
            Self::NoTargetingKey => "TARGETING_KEY_MISSING",
            Self::Context(_) => "INVALID_CONTEXT",
            Self::UnknownFlag => "FLAG_NOT_FOUND",
            Self::Refused(_) | Self::Unread(_) => "GENERAL",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Parse(_) | Self::NoTargetingKey | Self::Context(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refused) => refused.status(),
            Self::UnknownFlag => StatusCode::NOT_FOUND,
            Self::Unread(unread) => unread.status(),
        }
    }

    /// The answer, for the flag of a key or for all of them. `places` is where credentials stand.
    pub(super) fn answer(&self, key: Option<&str>, places: &Places) -> Response<Bytes> {
        let body = FailureBody {
            key,
            error_code: self.code(),
            error_details: self.to_string(),
        };
        let body = serde_json::to_vec(&body).expect("texts have a JSON form");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let json = HeaderValue::from_static("application/json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        if let Self::Refused(refused) = self {
            refused.count("flags");
            let challenge = places.challenge(*refused);
            headers.extend(challenge.map(|how| (header::WWW_AUTHENTICATE, how)));
            let seconds = refused.retry_after_s().map(HeaderValue::from);
            headers.extend(seconds.map(|seconds| (header::RETRY_AFTER, seconds)));
        }
        response
    }
}
