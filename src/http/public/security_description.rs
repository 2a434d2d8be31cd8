//! Where callers say who they are, in the description of the public listener.
//!
//! Invariant: only what is configured is described; where all callers are open, nothing.

use axum::http::{StatusCode, header};
use utoipa::openapi::{
    Components, Content, OpenApi, Ref, RefOr, Response,
    path::{Operation, PathItem},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use crate::identity::{Identity, Place};

/// What each refusal of a caller is. The configured polls describe theirs by themselves.
const REFUSALS: [(StatusCode, &str); 4] = [
    (StatusCode::UNAUTHORIZED, "nobody knows the caller"),
    (
        StatusCode::FORBIDDEN,
        "module, audience or client id are not the caller's",
    ),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests of one caller or address",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the caller cannot be told now",
    ),
];

/// Where everybody may ask.
const FOR_ALL: [&str; 3] = ["/healthz", "/openapi.json", "/asyncapi.json"];

/// Where refusals are in the words of another protocol than those of problems.
const EVALUATIONS: &str = "/ofrep/v1/evaluate/";

/// Where streams of flags are.
const STREAM: &str = "/ofrep/v1/sse";

/// The parameter in which their tickets stand, and the name of that scheme. Those of configured places have another beginning.
const TICKET: &str = "ticket";

/// Adds to each endpoint of the gateway's own how callers are refused.
pub(super) fn refuse(api: &mut OpenApi, identity: &Identity) {
    if identity.is_open() {
        return;
    }
    let items = api
        .paths
        .paths
        .iter_mut()
        .filter(|(path, _)| needs_caller(path));
    for (path, item) in items {
        let is_evaluation = path.starts_with(EVALUATIONS);
        operations(item).for_each(|operation| refuse_by(operation, is_evaluation));
    }
}

/// Adds the schemes, and to each endpoint that one of them is needed.
pub(super) fn ask(api: &mut OpenApi, identity: &Identity) {
    if identity.is_open() {
        return;
    }
    let schemes: Vec<_> = identity.places().all().iter().map(scheme).collect();
    let needed = schemes
        .iter()
        .map(|(name, _)| SecurityRequirement::new::<_, [&str; 0], &str>(name.as_str(), []));
    let needed: Vec<_> = needed.collect();
    let components = api.components.get_or_insert_with(Components::new);
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    let items = api
        .paths
        .paths
        .iter_mut()
        .filter(|(path, _)| needs_caller(path));
    for operation in items.flat_map(|(_, item)| operations(item)) {
        operation.security = Some(needed.clone());
    }
    take_tickets(api);
}

/// A stream of flags is opened by a ticket too (docs/adr/0047), which stands in its address as a parameter of the operation.
fn take_tickets(api: &mut OpenApi) {
    let stream = api.paths.paths.get_mut(STREAM);
    let Some(watch) = stream.and_then(|item| item.get.as_mut()) else {
        return;
    };
    let needed = watch.security.get_or_insert_default();
    needed.push(SecurityRequirement::new(TICKET, [] as [&str; 0]));
    let how = "as `eventStreams` of an evaluation has it, last in the address and good for that address alone";
    let ticket = ApiKey::Query(ApiKeyValue::with_description(TICKET, how));
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme(TICKET, SecurityScheme::ApiKey(ticket));
}

fn needs_caller(path: &str) -> bool {
    !FOR_ALL.contains(&path)
}

fn refuse_by(operation: &mut Operation, is_evaluation: bool) {
    for (status, why) in REFUSALS {
        let responses = &mut operation.responses.responses;
        let described = responses.entry(status.as_str().to_owned());
        let RefOr::T(response) = described.or_insert_with(|| RefOr::T(Response::new(""))) else {
            continue;
        };
        if !response.description.is_empty() {
            response.description.push_str("; ");
        }
        response.description.push_str(why);
        if is_evaluation && response.content.is_empty() {
            let body = Content::new(Some(Ref::from_schema_name("FlagFailure")));
            response.content.insert("application/json".to_owned(), body);
        }
    }
}

/// Its name, and how it is used.
fn scheme(place: &Place) -> (String, SecurityScheme) {
    match place {
        Place::Scheme(name, scheme)
            if *name == header::AUTHORIZATION && scheme.eq_ignore_ascii_case("bearer") =>
        {
            (
                "bearer".to_owned(),
                SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
            )
        }
        Place::Scheme(name, scheme) => {
            let how = format!("`{scheme} ` and the credential");
            let value = ApiKeyValue::with_description(name.as_str(), &*how);
            (
                format!("header-{name}-{}", scheme.to_lowercase()),
                SecurityScheme::ApiKey(ApiKey::Header(value)),
            )
        }
        Place::Header(name) => {
            let value = ApiKeyValue::new(name.as_str());
            (
                format!("header-{name}"),
                SecurityScheme::ApiKey(ApiKey::Header(value)),
            )
        }
        Place::Cookie(name) => {
            let value = ApiKeyValue::new(&**name);
            (
                plain("cookie", name),
                SecurityScheme::ApiKey(ApiKey::Cookie(value)),
            )
        }
        Place::Query(name) => {
            let value = ApiKeyValue::new(&**name);
            (
                plain("query", name),
                SecurityScheme::ApiKey(ApiKey::Query(value)),
            )
        }
    }
}

/// Names of components are of letters, digits and `.-_` (`OpenAPI` 3.1, 4.8.7).
fn plain(place: &str, name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    format!("{place}-{name}")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.head, &mut item.post, &mut item.put];
    all.into_iter().flatten()
}
