//! `[modules.poll.response]`: what the answers of a legacy endpoint look like.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Problems;

/// Headers that one answer may be given more, and as many on errors.
const MOST_HEADERS: usize = 32;

/// What the gateway says itself in every answer, or where the configuration has a key of its own.
const RESERVED: [(&str, &str); 15] = [
    ("allow", "the gateway writes it"),
    ("changeover-stage", "the gateway writes it"),
    ("changeover-transport", "the gateway writes it"),
    (
        "connection",
        "see the quirk `close-connection` in modules[].poll.quirks",
    ),
    ("content-encoding", "server.compress_above_bytes decides it"),
    ("content-length", "the gateway writes it"),
    ("content-type", "set `content_type` instead"),
    ("date", "the gateway writes it"),
    ("deprecation", "the gateway writes it"),
    ("etag", "set `etag` instead"),
    ("retry-after", "set poll.retry_after_s instead"),
    ("sunset", "the gateway writes it"),
    ("te", "it belongs to the connection"),
    ("transfer-encoding", "it belongs to the connection"),
    ("upgrade", "it belongs to the connection"),
];

/// The templates of the answers and what stands around them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// The whole answer.
    pub body: String,
    /// One change in `$changes`.
    pub item: String,
    /// The answer when there is nothing new; absent = `body`, `""` = no body.
    pub empty: Option<String>,
    /// Its status.
    pub empty_status: Option<u16>,
    /// The answer to a request that cannot be served.
    pub error: String,
    /// Status of such answers; absent = the real one.
    pub error_status: Option<u16>,
    /// Whether answers carry an `ETag` and `If-None-Match` is honoured; absent = only with
    /// `cursor.kind = "none"`.
    pub etag: Option<bool>,
    /// `Content-Type` of all answers that have a body.
    pub content_type: String,
    /// Further headers of all answers.
    pub headers: BTreeMap<String, String>,
    /// Headers of errors, beside and above `headers`.
    pub error_headers: BTreeMap<String, String>,
    /// Statuses of single kinds of errors; they come before `error_status`.
    pub errors: Errors,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            body: r#"{"changes":"$changes","cursor":"$cursor","has_more":"$has_more"}"#.to_owned(),
            item: r#"{"key":"$key","op":"$op","value":"$value"}"#.to_owned(),
            empty: None,
            empty_status: None,
            error: r#"{"code":"$status","message":"$message"}"#.to_owned(),
            error_status: None,
            etag: None,
            content_type: "application/json".to_owned(),
            headers: BTreeMap::new(),
            error_headers: BTreeMap::new(),
            errors: Errors::default(),
        }
    }
}

/// The status per kind of error; absent = `error_status`, else the real one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Errors {
    /// A value of the request is not what the contract says (400).
    pub malformed: Option<u16>,
    /// Nobody knows the caller: no credential, or one that is not accepted or has expired (401).
    pub unauthorized: Option<u16>,
    /// The caller is known, and the module, the audience or the client id is not its own (403).
    pub forbidden: Option<u16>,
    /// Too many requests came from the caller or its address (429).
    pub too_many: Option<u16>,
    /// The method is not one of the endpoint's (405).
    pub method: Option<u16>,
    /// The body did not arrive (408).
    pub no_body: Option<u16>,
    /// The body is too large (413).
    pub too_large: Option<u16>,
    /// The module is at `retired` (410).
    pub retired: Option<u16>,
    /// The cursor is too old and there is no state (410).
    pub too_old: Option<u16>,
    /// The answer cannot be given now (503).
    pub unavailable: Option<u16>,
    /// A bug of the gateway (500).
    pub failed: Option<u16>,
}

impl Errors {
    /// Each kind's key and status.
    pub fn each(&self) -> [(&'static str, Option<u16>); 11] {
        [
            ("malformed", self.malformed),
            ("unauthorized", self.unauthorized),
            ("forbidden", self.forbidden),
            ("too_many", self.too_many),
            ("method", self.method),
            ("no_body", self.no_body),
            ("too_large", self.too_large),
            ("retired", self.retired),
            ("too_old", self.too_old),
            ("unavailable", self.unavailable),
            ("failed", self.failed),
        ]
    }
}

impl Response {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let error_status = format!("{path}.error_status");
        with_body(self.error_status, &error_status, problems);
        for (kind, status) in self.errors.each() {
            with_body(status, &format!("{path}.errors.{kind}"), problems);
        }
        self.validate_empty(path, problems);
        if !is_media_type(&self.content_type) {
            problems.push(
                format!("{path}.content_type"),
                format!(
                    "`{}` must be a media type such as \"text/html; charset=utf-8\"",
                    self.content_type.escape_debug()
                ),
            );
        }
        validate_headers(&self.headers, &format!("{path}.headers"), problems);
        let errors = format!("{path}.error_headers");
        validate_headers(&self.error_headers, &errors, problems);
    }

    fn validate_empty(&self, path: &str, problems: &mut Problems) {
        let Some(status) = self.empty_status else {
            return;
        };
        let at = format!("{path}.empty_status");
        if !(200..=599).contains(&status) {
            problems.push(at, format!("must be from 200 to 599, not {status}"));
        } else if !has_body(status) && self.empty.as_ref().is_some_and(|empty| !empty.is_empty()) {
            let why = format!("{status} allows no body: leave `empty` out, or choose another");
            problems.push(at, why);
        }
    }
}

/// Whether an answer with this status may have a body (RFC 9110, section 15).
pub const fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

fn with_body(status: Option<u16>, at: &str, problems: &mut Problems) {
    let Some(status) = status else {
        return;
    };
    if !(200..=599).contains(&status) {
        problems.push(at, format!("must be from 200 to 599, not {status}"));
    } else if !has_body(status) {
        let why = format!("{status} allows no body, and the error is a body");
        problems.push(at, why);
    }
}

fn is_media_type(text: &str) -> bool {
    let (essence, _parameters) = text.split_once(';').unwrap_or((text, ""));
    let word = |part: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b);
        !part.is_empty() && part.bytes().all(letter)
    };
    let halves = essence.trim_end().split_once('/');
    halves.is_some_and(|(kind, name)| word(kind) && word(name))
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

fn validate_headers(headers: &BTreeMap<String, String>, path: &str, problems: &mut Problems) {
    if headers.len() > MOST_HEADERS {
        problems.push(path, format!("must be at most {MOST_HEADERS} headers"));
    }
    for (name, value) in headers {
        let at = format!("{path}.{name}");
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            problems.push(at, format!("`{}` is no header name", name.escape_debug()));
            continue;
        };
        if let Some((_, why)) = RESERVED.iter().find(|(taken, _)| *taken == header.as_str()) {
            problems.push(at, format!("cannot be set here: {why}"));
        } else if HeaderValue::from_str(value).is_err() {
            problems.push(at, "must be visible ASCII in one line");
        }
    }
}
