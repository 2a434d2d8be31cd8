//! Who is let in where, in the description of the private listener.
//!
//! Invariant: an operation names each way in that its door takes, and none that it refuses: both ask the same table.

use axum::http::Method;
use utoipa::openapi::{
    Components, Header, Object, OpenApi, RefOr, Response, Type,
    path::Operation,
    schema::SchemaType,
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
};

use super::{access::Door, by_cookie};

/// A token as it is.
const TOKEN: &str = "token";
/// A token as a password.
const PASSWORD: &str = "token-as-password";
/// The cookie of a session whose browser came by TLS.
const SAFE_SESSION: &str = "session";
/// That of another.
const PLAIN_SESSION: &str = "session-without-tls";
/// What acts show beside a cookie.
const ACT_TOKEN: &str = "csrf-token";

/// Adds the schemes, and to each endpoint whom it asks for and what it answers others.
pub(super) fn ask(api: &mut OpenApi, door: &Door) {
    let components = api.components.get_or_insert_with(Components::new);
    for (name, scheme) in schemes(door.is_tls) {
        components.add_security_scheme(name, scheme);
    }
    for (path, item) in &mut api.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let (Some(operation), Some(whom)) = (operation, door.asks_for(&method, path)) {
                operation.security = Some(ways_in(&method, door.is_tls));
                refuse(operation, &whom);
            }
        }
    }
}

fn schemes(is_tls: bool) -> Vec<(&'static str, SecurityScheme)> {
    let http = |scheme, how: &str| {
        let http = HttpBuilder::new().scheme(scheme).description(Some(how));
        SecurityScheme::Http(http.build())
    };
    let cookie = |name| {
        let how = "the cookie of a session, as `POST /v1/login` sets it; not asked for beside `Authorization`";
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(name, how)))
    };
    let act = ApiKeyValue::with_description(
        "X-CSRF-Token",
        "for acts by cookie: what `GET /v1/login` tells as `csrf_token` of this session. The browser must say besides, in `Origin` or \
            `Sec-Fetch-Site`, that the page is of this listener",
    );
    let mut all = vec![
        (
            TOKEN,
            http(
                HttpAuthScheme::Bearer,
                "a token of `changeover token create`",
            ),
        ),
        (
            PASSWORD,
            http(
                HttpAuthScheme::Basic,
                "the same as the password of any user",
            ),
        ),
        (SAFE_SESSION, cookie(by_cookie::SAFE)),
        (ACT_TOKEN, SecurityScheme::ApiKey(ApiKey::Header(act))),
    ];
    if !is_tls {
        all.push((PLAIN_SESSION, cookie(by_cookie::PLAIN)));
    }
    all
}

/// Each of them is enough.
fn ways_in(method: &Method, is_tls: bool) -> Vec<SecurityRequirement> {
    let none = || [] as [&str; 0];
    let by_token = [TOKEN, PASSWORD].map(|name| SecurityRequirement::new(name, none()));
    let cookies = [Some(SAFE_SESSION), (!is_tls).then_some(PLAIN_SESSION)];
    let by_cookie = cookies.into_iter().flatten().map(|name| {
        let cookie = SecurityRequirement::new(name, none());
        if by_cookie::is_act(method) {
            cookie.add(ACT_TOKEN, none())
        } else {
            cookie
        }
    });
    by_token.into_iter().chain(by_cookie).collect()
}

fn refuse(operation: &mut Operation, whom: &str) {
    let mut unknown = Response::new(format!("it needs {whom}, in force"));
    let challenge = Header::new(Object::with_type(SchemaType::Type(Type::String)));
    unknown
        .headers
        .insert("WWW-Authenticate".to_owned(), challenge);
    let other = Response::new(format!(
        "the token is in force, and it needs {whom}; or an act by cookie without `X-CSRF-Token`, or of another page"
    ));
    let wrong = Response::new("too many wrong tokens came from this address: right ones go on");
    let known = &mut operation.responses.responses;
    for (status, response) in [("401", unknown), ("403", other)] {
        known.insert(status.to_owned(), RefOr::T(response));
    }
    // Some endpoints have another reason for it.
    known
        .entry("429".to_owned())
        .or_insert_with(|| RefOr::T(wrong));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_tls_a_session_has_one_name() {
        let names = |is_tls| schemes(is_tls).into_iter().map(|(name, _)| name).collect();
        let with_tls: Vec<_> = names(true);
        assert_eq!(with_tls, [TOKEN, PASSWORD, SAFE_SESSION, ACT_TOKEN]);
        let without: Vec<_> = names(false);
        assert_eq!(without.len(), with_tls.len() + 1);
        assert_eq!(without.last(), Some(&PLAIN_SESSION));
        let ways = |method, is_tls| serde_json::to_value(ways_in(&method, is_tls)).unwrap();
        let tokens = [
            serde_json::json!({TOKEN: []}),
            serde_json::json!({PASSWORD: []}),
        ];
        let looks = ways(Method::GET, true);
        assert_eq!(looks.as_array().unwrap()[..2], tokens);
        assert_eq!(looks[2], serde_json::json!({SAFE_SESSION: []}));
        let acts = ways(Method::DELETE, true);
        assert_eq!(
            acts[2],
            serde_json::json!({SAFE_SESSION: [], ACT_TOKEN: []})
        );
        assert_eq!(acts.as_array().unwrap().len(), 3);
    }
}
