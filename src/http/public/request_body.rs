//! The JSON body of a request, whatever its content type says: old clients and scripts forget it.

use std::time::Duration;

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    extract::{self, FromRequest},
    http::StatusCode,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::http::{Problem, object::Object};

/// Why a body is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    /// It took too long.
    #[error("the body did not arrive")]
    Late,
    /// It was cut off, or too long; the status says which.
    #[error("the body is too large or broken")]
    Refused(StatusCode),
}

impl Unread {
    /// What the client is answered.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(status) => status,
        }
    }
}

/// Reads a body whole if it has at most so many bytes.
pub(super) async fn at_most<B>(body: B, bytes: usize, patience: Duration) -> Result<Bytes, Unread>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    let read = timeout(patience, Limited::new(body, bytes).collect()).await;
    let read = read.map_err(|_elapsed| Unread::Late)?;
    let whole = read.map_err(|error| {
        Unread::Refused(if error.is::<LengthLimitError>() {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        })
    })?;
    Ok(whole.to_bytes())
}

/// Reads it whole.
pub(super) async fn whole(request: extract::Request, patience: Duration) -> Result<Bytes, Unread> {
    let body = timeout(patience, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_elapsed| Unread::Late)?;
    body.map_err(|why| Unread::Refused(why.status()))
}

/// Reads it whole and takes it apart. A refusal names the member.
pub(super) async fn read<T: DeserializeOwned>(
    request: extract::Request,
    patience: Duration,
) -> Result<T, Problem> {
    let body = whole(request, patience).await;
    let body = body.map_err(|why| Problem::new(why.status(), why.to_string()))?;
    taken_apart(&body)
}

/// The same of a body that is there.
pub(super) fn taken_apart<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {why}"));
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(read) =
        serde_path_to_error::deserialize(&mut json).map_err(|why| bad(why.to_string()))?;
    json.end().map_err(|why| bad(why.to_string()))?;
    Ok(read)
}
