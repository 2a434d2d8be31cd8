//! The cookie of a console's session, and which pages may act by it.
//!
//! Invariants: an act by cookie comes from a page of this listener, and shows what no other page can read; whoever shows a token in
//! `Authorization` is asked for neither; the token itself is in no cookie.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{COOKIE, HOST, ORIGIN},
};

use crate::{http::Problem, identity::operators::SignedIn};

/// Its name where browsers keep to TLS: they take one of this name from nobody else, and for no other path.
pub(super) const SAFE: &str = "__Host-changeover";
/// Its name without TLS, on loopback mostly.
pub(super) const PLAIN: &str = "changeover_console";

/// What acts show beside the cookie.
pub(super) const ACT_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// What browsers say of the page that sends a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The cookie that a request shows.
pub(super) struct Shown<'a> {
    pub(super) cookie: &'a str,
    /// Whether it came with the name for TLS.
    pub(super) is_safe: bool,
}

/// Somebody who has shown a session's cookie.
#[derive(Clone)]
pub(super) struct BySession {
    pub(super) signed_in: SignedIn,
    pub(super) is_safe: bool,
}

/// The session's cookie among those of a request; none if there are two, as nobody knows which counts.
pub(super) fn shown(headers: &HeaderMap, is_tls: bool) -> Option<Shown<'_>> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut ours = pairs.filter_map(|pair| {
        let (name, cookie) = pair.trim().split_once('=')?;
        let is_safe = name == SAFE;
        (is_safe || (name == PLAIN && !is_tls)).then_some(Shown { cookie, is_safe })
    });
    let found = ours.next()?;
    ours.next().is_none().then_some(found)
}

/// Whether a request by cookie must show more than it.
pub(super) fn is_act(method: &Method) -> bool {
    method != Method::GET && method != Method::HEAD
}

/// Whether an act by cookie may be done.
pub(super) fn may_act(
    method: &Method,
    headers: &HeaderMap,
    signed_in: &SignedIn,
    is_tls: bool,
) -> Result<(), Problem> {
    if !is_act(method) {
        return Ok(());
    }
    match own_page(headers, is_tls) {
        Some(true) => {}
        Some(false) => return Err(foreign()),
        None => {
            let why = "an act by cookie must say in `Origin` or `Sec-Fetch-Site` that it comes from a page of this listener";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
    }
    let mut sent = headers.get_all(ACT_TOKEN).iter();
    let is_right = match (sent.next(), sent.next()) {
        (Some(sent), None) => signed_in.may_act_with(sent.as_bytes()),
        _ => false,
    };
    let why = "an act by cookie needs `X-CSRF-Token`, as `GET /v1/login` tells it for this session";
    let refused = || Problem::new(StatusCode::FORBIDDEN, why);
    is_right.then_some(()).ok_or_else(refused)
}

/// The refusal of a page that is not of this listener.
pub(super) fn foreign() -> Problem {
    let why = "a page of another origin may not do this";
    Problem::new(StatusCode::FORBIDDEN, why)
}

/// Whether the page that sends a request is of this listener; none = no browser says so. Whatever of both it says must be right.
pub(super) fn own_page(headers: &HeaderMap, is_tls: bool) -> Option<bool> {
    let mut sites = headers.get_all(FETCH_SITE).iter().peekable();
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    if sites.peek().is_none() && origins.peek().is_none() {
        return None;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
        origin.zip(host).is_some_and(|((scheme, at), host)| {
            // Behind a proxy with TLS the scheme of the page is not that of this listener.
            let is_scheme = scheme == "https" || (scheme == "http" && !is_tls);
            is_scheme && at.eq_ignore_ascii_case(host)
        })
    };
    Some(sites.all(|site| site == "same-origin") && origins.all(is_own))
}

/// Whether the browser that sends a request came by TLS, to this listener or to a proxy before it.
pub(super) fn came_by_tls(headers: &HeaderMap, is_tls: bool) -> bool {
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    is_tls || origin.is_some_and(|origin| origin.starts_with(b"https://"))
}

/// What makes a browser keep a session.
pub(super) fn kept(signed_in: &SignedIn, is_safe: bool) -> HeaderValue {
    cookie(&signed_in.cookie, signed_in.left.as_secs(), is_safe)
}

/// What makes a browser forget it.
pub(super) fn forgotten(is_safe: bool) -> HeaderValue {
    cookie("", 0, is_safe)
}

fn cookie(value: &str, seconds: u64, is_safe: bool) -> HeaderValue {
    let (name, secure) = if is_safe {
        (SAFE, "; Secure")
    } else {
        (PLAIN, "")
    };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).expect("base64url and our own words may stand in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_page_is_of_this_listener_if_all_that_is_said_of_it_says_so() {
        let page = |pairs: &[(&'static str, &'static str)], is_tls| {
            let mut said = headers(pairs);
            said.insert(HOST, HeaderValue::from_static("gw:8081"));
            own_page(&said, is_tls)
        };
        assert_eq!(page(&[], false), None);
        assert_eq!(page(&[("origin", "http://gw:8081")], false), Some(true));
        assert_eq!(page(&[("origin", "https://GW:8081")], false), Some(true));
        assert_eq!(page(&[("origin", "http://gw:8081")], true), Some(false));
        assert_eq!(page(&[("sec-fetch-site", "same-origin")], true), Some(true));
        for foreign in [
            &[("origin", "null")][..],
            &[("origin", "http://gw")],
            &[("origin", "http://gw:8081.evil.example")],
            &[("origin", "ftp://gw:8081")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://x")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://gw:8081"),
            ],
        ] {
            assert_eq!(page(foreign, false), Some(false), "{foreign:?}");
        }
    }

    #[test]
    fn one_cookie_is_found_among_others_and_two_are_none() {
        let found = |line: &'static str, is_tls| {
            let headers = headers(&[("cookie", line)]);
            shown(&headers, is_tls).map(|shown| shown.cookie.to_owned())
        };
        let own = "a=b; changeover_console=x; c";
        assert_eq!(found(own, false).as_deref(), Some("x"));
        assert_eq!(found(own, true), None);
        assert_eq!(found("__Host-changeover=y", true).as_deref(), Some("y"));
        assert_eq!(
            found("changeover_console=x; changeover_console=y", false),
            None
        );
        assert_eq!(found("xchangeover_console=x", false), None);
    }
}
