//! Errors of everything that is not a legacy endpoint: RFC 9457 problem details.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The content type of every problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A problem as the client sees it. `detail` is written for the caller and never holds SQL, paths or
/// secrets.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry_after_secs: Option<u32>,
    header: Option<(HeaderName, HeaderValue)>,
    /// What programs may want to know beside the detail.
    member: Option<(&'static str, serde_json::Value)>,
}

/// Why a request was not served (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body9457<'a> {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
    #[serde(flatten)]
    #[schema(ignore)]
    member: Option<BTreeMap<&'a str, &'a serde_json::Value>>,
}

impl Problem {
    /// A problem with the status's own title.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after_secs: None,
            header: None,
            member: None,
        }
    }

    /// Adds a member of its own (RFC 9457, section 3.2).
    pub fn member(mut self, name: &'static str, value: serde_json::Value) -> Self {
        self.member = Some((name, value));
        self
    }

    /// Tells the client when to come back.
    pub const fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body9457 {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            member: self
                .member
                .as_ref()
                .map(|(name, value)| BTreeMap::from([(*name, value)])),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static(MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        headers.extend(self.header);
        response
    }
}
