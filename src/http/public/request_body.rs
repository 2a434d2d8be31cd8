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

/// Reads it whole and takes it apart. A refusal names the member.
pub(super) async fn read<T: DeserializeOwned>(
    request: extract::Request,
    patience: Duration,
) -> Result<T, Problem> {
    let body = timeout(patience, Bytes::from_request(request, &())).await;
    let body = body
        .map_err(|_elapsed| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive"))?;
    let body = body.map_err(|why| Problem::new(why.status(), "the body is too large or broken"))?;
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {why}"));
    let mut json = serde_json::Deserializer::from_slice(&body);
    let Object(read) =
        serde_path_to_error::deserialize(&mut json).map_err(|why| bad(why.to_string()))?;
    json.end().map_err(|why| bad(why.to_string()))?;
    Ok(read)
}
