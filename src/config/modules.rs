//! `[[modules]]`: the modules and the contracts of their legacy polls.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use super::{
    ops::{OpWord, Ops},
    quirks::Quirk,
    response::{Errors, Response},
};
use super::{retention::Kept, savings::ModuleSavings, steer::Steer, wait::WaitField};
use crate::domain::{Audience, ModuleName, Pace, Tick, parse_rfc3339};

/// One module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Whether the last change per key is kept for snapshots and for cursors that are too old.
    pub state: bool,
    /// What the log keeps; absent = seven days, or with `last_value` everything.
    pub retention: Option<Kept>,
    /// Whether the log keeps only the newest change of each key.
    pub last_value: bool,
    /// The legacy endpoint; absent = the module has none.
    pub poll: Option<Poll>,
    /// The callers that it takes, by their names; absent = all.
    pub callers: Option<Vec<String>>,
    /// What the answers say once the module is at `sunset`.
    pub sunset: Sunset,
    /// What is known of its costs.
    pub savings: ModuleSavings,
}

impl Default for Module {
    fn default() -> Self {
        Self {
            name: String::new(),
            state: true,
            retention: None,
            last_value: false,
            poll: None,
            callers: None,
            sunset: Sunset::default(),
            savings: ModuleSavings::default(),
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

    /// What the log keeps. The newest change of a key does not grow old by default: a new client
    /// reads it from the log.
    pub fn kept(&self) -> Kept {
        let default = if self.last_value {
            Kept::EVERYTHING
        } else {
            Kept::DEFAULT
        };
        self.retention.unwrap_or(default)
    }
}

/// The contract of a legacy endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// Path; `{name}` captures a segment.
    pub path: String,
    /// `GET`, `POST` and `PUT`, at least one of them.
    pub methods: Vec<Method>,
    /// Where the client says what it has seen.
    pub cursor: CursorField,
    /// Where the client says who it is for; absent = only `*`.
    pub audience: Option<AudienceField>,
    /// Where the client says which one it is; absent = its audience.
    pub client: Option<Field>,
    /// Where the client says its program and version; absent = its `User-Agent`.
    pub agent: Option<Field>,
    /// How many changes one answer holds.
    pub limit: LimitField,
    /// What `$op` says.
    pub ops: Ops,
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
    /// What single old clients need beyond that.
    pub quirks: Vec<Quirk>,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            path: String::new(),
            methods: vec![Method::Get],
            cursor: CursorField::default(),
            audience: None,
            client: None,
            agent: None,
            limit: LimitField::default(),
            ops: Ops::default(),
            response: Response::default(),
            wait: None,
            next_poll_ms: 5_000,
            steer: None,
            floor_ms: 0,
            quirks: Vec::new(),
        }
    }
}

impl Poll {
    /// Whether the contract knows no audience but `*`.
    pub fn is_for_everyone(&self) -> bool {
        let only_everyone =
            |audience: &AudienceField| audience.constant.as_deref() == Some(Audience::EVERYONE);
        self.audience.as_ref().is_none_or(only_everyone)
    }

    /// How changes must be spread over ticks, if the cursor is a time.
    pub fn pace(&self) -> Option<Pace> {
        Some(Pace {
            tick: self.cursor.kind.tick()?,
            changes: self.limit.max,
        })
    }
}

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`; `HEAD` is answered with it.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
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
    /// A cookie, RFC 6265.
    Cookie,
    /// A field of a body in `application/x-www-form-urlencoded`.
    Form,
    /// A value of a body in JSON; its name is a JSON pointer, RFC 6901.
    Json,
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
    /// Its name there. Not needed with `kind = "none"` and `kind = "etag"`.
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
    /// The opaque token in `ETag` and `If-None-Match`.
    Etag,
    /// Whole Unix seconds.
    #[serde(rename = "timestamp-s")]
    TimestampS,
    /// Whole Unix milliseconds.
    #[serde(rename = "timestamp-ms")]
    TimestampMs,
    /// A time as RFC 3339 writes it, in milliseconds.
    Rfc3339,
    /// No cursor: every answer is the whole state.
    None,
}

impl CursorKind {
    /// The steps in which it counts, if it is a time.
    pub const fn tick(self) -> Option<Tick> {
        match self {
            Self::TimestampS => Some(Tick::SECOND),
            Self::TimestampMs | Self::Rfc3339 => Some(Tick::MILLISECOND),
            Self::Position | Self::Token | Self::Etag | Self::None => None,
        }
    }
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
    /// One that the caller's credential says, by the name of the claim.
    pub claim: Option<String>,
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
        self.at.as_deref().and_then(parse_rfc3339)
    }
}
