//! `[[modules]]`: the modules and the contracts of their legacy polls.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{modules_check, steer::Steer, wait::WaitField};
use crate::domain::ModuleName;

/// One module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Whether the last change per key is kept for snapshots and for cursors that are too old.
    pub state: bool,
    /// The legacy endpoint; absent = the module has none.
    pub poll: Option<Poll>,
    /// What the answers say once the module is at `sunset`.
    pub sunset: Sunset,
}

impl Default for Module {
    fn default() -> Self {
        Self {
            name: String::new(),
            state: true,
            poll: None,
            sunset: Sunset::default(),
        }
    }
}

impl Module {
    /// Its name.
    pub fn module_name(&self) -> ModuleName {
        self.name
            .parse()
            .expect("the name of a loaded module was checked")
    }
}

/// The contract of a legacy endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// Path; `{name}` captures a segment.
    pub path: String,
    /// `GET`, `POST` or both.
    pub methods: Vec<Method>,
    /// Where the client says what it has seen.
    pub cursor: CursorField,
    /// Where the client says who it is for; absent = only `*`.
    pub audience: Option<AudienceField>,
    /// Where the client says which one it is; absent = its audience.
    pub client: Option<Field>,
    /// How many changes one answer holds.
    pub limit: LimitField,
    /// The templates of the answers.
    pub response: Response,
    /// How long a poll may wait for news; absent = it does not.
    pub wait: Option<WaitField>,
    /// What `$next_poll_ms` says.
    pub next_poll_ms: u64,
    /// Whether it says more under load; absent = never.
    pub steer: Option<Steer>,
    /// For how long the same request gets the same empty answer again; 0 = never.
    pub floor_ms: u64,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            path: String::new(),
            methods: vec![Method::Get],
            cursor: CursorField::default(),
            audience: None,
            client: None,
            limit: LimitField::default(),
            response: Response::default(),
            wait: None,
            next_poll_ms: 5_000,
            steer: None,
            floor_ms: 0,
        }
    }
}

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`; `HEAD` is answered with it.
    Get,
    /// `POST`.
    Post,
}

/// Part of a request that a value is taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The query string.
    #[default]
    Query,
    /// A header.
    Header,
    /// A segment that the path captures.
    Path,
}

/// A value of the request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Field {
    /// Which part of the request.
    #[serde(rename = "in")]
    pub place: Place,
    /// Its name there.
    pub name: String,
}

/// The cursor of the request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CursorField {
    /// Which part of the request.
    #[serde(rename = "in")]
    pub place: Place,
    /// Its name there. Not needed with `kind = "none"`.
    pub name: String,
    /// What it looks like.
    pub kind: CursorKind,
}

/// What a legacy cursor looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CursorKind {
    /// The position, as an integer.
    #[default]
    Position,
    /// The opaque token of epoch and position.
    Token,
    /// No cursor: every answer is the whole state.
    None,
}

/// The audience of the request: from a place, or the same for all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudienceField {
    /// Which part of the request.
    #[serde(rename = "in")]
    pub place: Option<Place>,
    /// Its name there.
    pub name: String,
    /// One audience for every request, instead of `in` and `name`.
    #[serde(rename = "const")]
    pub constant: Option<String>,
}

/// The most changes of one answer, and where a client may ask for fewer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitField {
    /// Which part of the request; absent = clients cannot choose.
    #[serde(rename = "in")]
    pub place: Option<Place>,
    /// Its name there.
    pub name: String,
    /// What counts when the request does not say.
    pub default: u32,
    /// What counts when the request asks for more. With `kind = "none"`, the most that the state
    /// may hold.
    pub max: u32,
}

impl Default for LimitField {
    fn default() -> Self {
        Self {
            place: None,
            name: String::new(),
            default: 100,
            max: 1_000,
        }
    }
}

/// The JSON templates of the answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// The whole answer.
    pub body: String,
    /// One change in `$changes`.
    pub item: String,
    /// The answer to a request that cannot be served.
    pub error: String,
    /// Status of such answers; absent = the real one.
    pub error_status: Option<u16>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            body: r#"{"changes":"$changes","cursor":"$cursor","has_more":"$has_more"}"#.to_owned(),
            item: r#"{"key":"$key","op":"$op","value":"$value"}"#.to_owned(),
            error: r#"{"code":"$status","message":"$message"}"#.to_owned(),
            error_status: None,
        }
    }
}

/// What the answers say once the module is at `sunset`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sunset {
    /// When the endpoint is to end, as an RFC 3339 time; becomes the `Sunset` header.
    pub at: Option<String>,
    /// A page about the migration; becomes the `Link` headers.
    pub link: Option<String>,
    /// What `$next_poll_ms` says from then on.
    pub next_poll_ms: Option<u64>,
}

impl Sunset {
    /// When the endpoint is to end.
    pub fn at_time(&self) -> Option<SystemTime> {
        self.at.as_deref().and_then(modules_check::rfc3339)
    }
}
