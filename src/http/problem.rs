//! Errors of everything that is not a legacy endpoint: RFC 9457.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An `application/problem+json` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A URI reference that names the kind of problem; `about:blank` = the status says it all.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind, for people.
    pub title: Cow<'static, str>,
    /// The status of the answer.
    #[serde(serialize_with = "status_as_number")]
    pub status: StatusCode,
    /// What is wrong with this request, and what to do.
    pub detail: Cow<'static, str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn status_as_number<S: serde::Serializer>(
    status: &StatusCode,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem whose kind is its status.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
