//! Which web pages of other origins may read the native endpoints.

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    native::EXPOSED,
    ofrep::stream::LAST_EVENT_ID,
    reader::{CLIENT, TRANSPORT},
};
use crate::identity::Identity;

/// Where OpenFeature's providers may carry a key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Any origin.
const ANY: &str = "*";

/// The layer for these origins; nothing if there are none. Headers in which credentials come are allowed.
pub(super) fn layer(origins: &[String], identity: &Identity) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == ANY) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|o| HeaderValue::try_from(o).ok()))
    };
    let mut asked = vec![
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        header::ACCEPT,
        LAST_EVENT_ID,
        API_KEY,
        CLIENT,
        TRANSPORT,
    ];
    let own = identity.places().headers();
    let more: Vec<_> = own.filter(|name| !asked.contains(name)).collect();
    asked.extend(more);
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(asked)
        .expose_headers(EXPOSED);
    Some(layer)
}
