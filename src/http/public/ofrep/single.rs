//! `POST /ofrep/v1/evaluate/flags/{key}`: one flag, for providers that ask each time.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{self, Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};

use super::{OfrepState, failure::Failure};
use crate::{
    http::public::{
        callers::CallsFrom,
        doors::Brought,
        native::Endpoint,
        ofrep::{answer::Evaluated, asker::RequestBody, failure::FailureBody},
        request_body,
    },
    identity::Places,
};

/// One flag, evaluated for a client.
///
/// OFREP 0.3. `module.{name}` is `push` if the client is to take the module's changes from the broker, and `poll` if not. The content
/// type of the request does not matter.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags/{key}", operation_id = "evaluateFlag", tag = "Flags",
    params(("key" = String, Path, description = "`module.` and the name of a configured module")),
    request_body(content = RequestBody, content_type = "application/json"),
    responses(
        (status = 200, description = "what the client is told", body = Evaluated<'static>),
        (status = 400, description = "the body or the context is not as it should be", body = FailureBody<'static>),
        (status = 404, description = "there is no such flag", body = FailureBody<'static>),
        (status = 408, description = "the body did not arrive", body = FailureBody<'static>),
        (status = 413, description = "the body is larger than `ofrep.body_bytes`", body = FailureBody<'static>),
    )
)]
pub(in crate::http::public) async fn evaluate(
    State(state): State<Arc<OfrepState>>,
    key: Result<Path<String>, PathRejection>,
    request: extract::Request,
) -> Response {
    // What is no text is no key either.
    let key = key.map_or_else(|_not_utf8| String::new(), |Path(key)| key);
    let from = CallsFrom::of(&request);
    let brought = Brought::by(&request);
    let body = request_body::whole(request, state.bounds.body_patience).await;
    let places = state.bounds.identity.places();
    let asker = state.asker(body, &brought.asking(), from).await;
    let answer = match asker {
        Ok(asker) => match state.one(&key, &asker) {
            Some(evaluated) => Json(evaluated).into_response(),
            None => refused(&Failure::UnknownFlag, &key, places),
        },
        Err(failure) => refused(&failure, &key, places),
    };
    Endpoint::Flag.answered(answer)
}

fn refused(failure: &Failure, key: &str, places: &Places) -> Response {
    failure.answer(Some(key), places).map(Body::from)
}
