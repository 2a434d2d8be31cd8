//! What the path of a request names, refused as a problem.

use axum::{
    extract::{FromRequestParts, Path},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::http::Problem;

/// As axum's `Path`, with the refusal that both listeners promise: a name that is no text names
/// nothing.
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(_not_utf8) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path: a part of it is not UTF-8",
            )),
        }
    }
}
