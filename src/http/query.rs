//! The query string of a request, refused as a problem.

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::http::Problem;

/// As axum's `Query`, with the refusal that both listeners promise.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(why) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the query: {}", why.body_text()),
            )),
        }
    }
}
