//! The check of `Host`: a page in an operator's browser that was made to resolve to this address
//! (DNS rebinding) still names its own host.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::http::Problem;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Lets a request pass whose `Host` is a loopback name or a configured one, at any port.
pub async fn check(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let name = host
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<Authority>().ok());
    let known = name.is_some_and(|authority| {
        let name = authority.host();
        let is_named = |known: &str| known.eq_ignore_ascii_case(name);
        LOOPBACK.into_iter().any(is_named) || hosts.iter().any(|host| is_named(host))
    });
    if known {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this listener does not answer to that Host: add the name to server.private_hosts",
    )
    .into_response()
}
