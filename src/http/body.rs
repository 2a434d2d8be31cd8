//! The JSON body of a request, refused as a problem.

use axum::{
    Json,
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
};
use serde::de::DeserializeOwned;

use crate::http::{Problem, object::Object};

/// As axum's `Json`, with the refusal that both listeners promise: 400 for whatever is wrong with
/// the document, 413 and 415 as usual.
pub struct BodyOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for BodyOf<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(Object(body))) => Ok(Self(body)),
            Err(why) => Err(refusal(&why)),
        }
    }
}

fn refusal(why: &JsonRejection) -> Problem {
    let status = match why {
        JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => {
            StatusCode::BAD_REQUEST
        }
        other => other.status(),
    };
    Problem::new(status, format!("the body: {}", why.body_text()))
}
