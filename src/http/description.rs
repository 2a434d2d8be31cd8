//! What the listeners say about themselves: `/openapi.json` and `/asyncapi.json`.
//!
//! Invariants: a document is written once, at the start, from the code and the configuration, and
//! served from memory; it holds no secret. Whatever a layer or an extractor answers for many
//! endpoints is described here for all of them.

use std::fmt::Write;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::openapi::{
    Content, Header, Object, OpenApi, Ref, RefOr, Response as Described, Schema, Type,
    path::{Operation, Parameter, PathItem},
    schema::SchemaType,
};

use super::{problem, public::etag};

/// The name of what every module's endpoints have in their path.
const MODULE: &str = "module";

/// A description as it is served.
#[derive(Clone)]
pub(super) struct Document {
    json: Bytes,
    tag: String,
}

impl Document {
    pub(super) fn new(described: &impl Serialize) -> Self {
        let json = serde_json::to_vec(described);
        let json = Bytes::from(json.expect("names, texts and numbers have a JSON form"));
        let mut tag = "\"".to_owned();
        for byte in &Sha256::digest(&json)[..16] {
            write!(tag, "{byte:02x}").expect("writing to a string does not fail");
        }
        tag.push('"');
        Self { json, tag }
    }

    fn answer(&self, sent: &HeaderMap) -> Response {
        let (status, body) = if etag::matches(sent, &self.tag) {
            (StatusCode::NOT_MODIFIED, Body::empty())
        } else {
            (StatusCode::OK, Body::from(self.json.clone()))
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status == StatusCode::OK {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        // It changes with a restart only, but then at once.
        let keep = HeaderValue::from_static("no-cache");
        headers.insert(header::CACHE_CONTROL, keep);
        if let Ok(tag) = HeaderValue::try_from(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// Both documents of a listener.
#[derive(Clone)]
pub(super) struct Documents {
    pub(super) openapi: Document,
    pub(super) asyncapi: Document,
}

/// Where a listener describes itself.
pub(super) fn routes(documents: Documents) -> Router {
    Router::new()
        .route("/openapi.json", get(openapi))
        .route("/asyncapi.json", get(asyncapi))
        .with_state(documents)
}

/// This document.
///
/// The endpoints of this listener, the configured ones included.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "Descriptions",
    params(("If-None-Match" = Option<String>, Header, description = "the `ETag` of the document that the client has")),
    responses(
        (status = 200, description = "an OpenAPI 3.1 document", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "changes with the document"))),
        (status = 304, description = "the client has it"),
    )
)]
async fn openapi(State(documents): State<Documents>, headers: HeaderMap) -> Response {
    documents.openapi.answer(&headers)
}

/// The MQTT topics.
///
/// Where clients find the brokers, and what stands on their topics.
#[utoipa::path(
    get, path = "/asyncapi.json", operation_id = "getAsyncApi", tag = "Descriptions",
    params(("If-None-Match" = Option<String>, Header, description = "the `ETag` of the document that the client has")),
    responses(
        (status = 200, description = "an AsyncAPI 3.0 document", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "changes with the document"))),
        (status = 304, description = "the client has it"),
    )
)]
async fn asyncapi(State(documents): State<Documents>, headers: HeaderMap) -> Response {
    documents.asyncapi.answer(&headers)
}

/// Completes what was generated from the code: the name and version of the interface, the problems, the configured
/// modules.
pub(super) fn complete<'m>(
    api: &mut OpenApi,
    for_all: &[(StatusCode, &str)],
    modules: impl Iterator<Item = &'m str>,
) {
    let mut modules: Vec<_> = modules.collect();
    modules.sort_unstable();
    for item in api.paths.paths.values_mut() {
        for operation in operations(item) {
            for (status, why) in for_all {
                let known = &mut operation.responses.responses;
                let refusal = RefOr::T(Described::new(*why));
                known.entry(status.as_str().to_owned()).or_insert(refusal);
            }
            for parameter in operation.parameters.iter_mut().flatten() {
                name_modules(parameter, &modules);
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    describe_problem(status, response);
                }
            }
        }
    }
}

/// What takes a body refuses one that is late.
pub(super) fn refuse_late_bodies(api: &mut OpenApi, (status, why): (StatusCode, &str)) {
    for item in api.paths.paths.values_mut() {
        for operation in operations(item).filter(|operation| operation.request_body.is_some()) {
            let known = &mut operation.responses.responses;
            let refusal = RefOr::T(Described::new(why));
            known.entry(status.as_str().to_owned()).or_insert(refusal);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.head,
        &mut item.post,
        &mut item.put,
        &mut item.delete,
        &mut item.patch,
        &mut item.options,
    ];
    all.into_iter().flatten()
}

/// A module in the path is one of the configured ones.
fn name_modules(parameter: &mut Parameter, modules: &[&str]) {
    let is_path = parameter.parameter_in == utoipa::openapi::path::ParameterIn::Path;
    if !is_path || parameter.name != MODULE || modules.is_empty() {
        return;
    }
    let mut names = Object::with_type(SchemaType::Type(Type::String));
    names.enum_values = Some(modules.iter().map(|name| (*name).into()).collect());
    parameter.schema = Some(RefOr::T(Schema::Object(names)));
}

/// A refusal that says nothing else of its body is a problem.
fn describe_problem(status: &str, response: &mut Described) {
    if !status.starts_with(['4', '5']) {
        return;
    }
    if response.content.is_empty() {
        let problem = Ref::from_schema_name("Problem");
        let content = Content::new(Some(problem));
        response
            .content
            .insert(problem::MEDIA_TYPE.to_owned(), content);
    }
    if status == "429" || status == "503" {
        let mut seconds = Header::new(Object::with_type(SchemaType::Type(Type::Integer)));
        seconds.description = Some("seconds until it is worth to come again".to_owned());
        response
            .headers
            .entry("Retry-After".to_owned())
            .or_insert(seconds);
    }
}
