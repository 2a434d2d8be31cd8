//! The JSON body of a request, whatever its content type says: old clients and scripts forget it.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{self, FromRequest},
    http::StatusCode,
};
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
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {why}"));
    let mut json = serde_json::Deserializer::from_slice(&body);
    let Object(read) =
        serde_path_to_error::deserialize(&mut json).map_err(|why| bad(why.to_string()))?;
    json.end().map_err(|why| bad(why.to_string()))?;
    Ok(read)
}
