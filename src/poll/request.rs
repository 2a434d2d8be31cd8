//! What a poll asks for.
//!
//! Invariant: a request that parsed holds only values that the contract allows; anything else is
//! refused with words for the person who wrote the client.

use std::{borrow::Cow, time::Duration};

use super::{
    audiences::Audiences,
    failure::Failure,
    source::{Parts, Source},
    wait::Wait,
};
use crate::{
    config::modules::CursorKind,
    domain::{Audience, Cursor, Position},
    log::Since as Asked,
};

/// Where the values of a request stand and what they may be.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// `None` for `kind = "none"`.
    pub(super) cursor: Option<Source>,
    pub(super) kind: CursorKind,
    pub(super) audience: Option<Source>,
    /// `*`, and the constant audience if one is configured.
    pub(super) always: Audiences,
    pub(super) audience_bytes: usize,
    pub(super) client: Option<Source>,
    pub(super) limit: Option<Source>,
    pub(super) default_limit: u32,
    pub(super) max_limit: u32,
    pub(super) wait: Wait,
}

/// A poll that may be answered.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) asked: Asked,
    pub(super) audiences: Audiences,
    pub(super) limit: u32,
    /// How long it may wait for news.
    pub(super) wait: Duration,
    client: Option<Cow<'a, str>>,
}

impl Request<'_> {
    /// Which client this is; empty if it cannot be told apart.
    pub(super) fn client_id(&self) -> &str {
        self.client.as_deref().unwrap_or(self.audiences.own())
    }
}

impl Fields {
    pub(super) fn read<'a>(&self, parts: &Parts<'a>) -> Result<Request<'a>, Failure> {
        Ok(Request {
            asked: self.read_cursor(parts)?,
            audiences: self.read_audiences(parts)?,
            limit: self.read_limit(parts)?,
            wait: (self.wait.read(parts)).map_err(|why| malformed("wait", why))?,
            client: find(self.client.as_ref(), "client", parts)?,
        })
    }

    fn read_cursor(&self, parts: &Parts<'_>) -> Result<Asked, Failure> {
        match find(self.cursor.as_ref(), "cursor", parts)? {
            None => Ok(Asked::BEGINNING),
            Some(text) if self.kind == CursorKind::Token => parse_token(&text),
            Some(text) => parse_position(&text),
        }
    }

    fn read_audiences(&self, parts: &Parts<'_>) -> Result<Audiences, Failure> {
        let Some(text) = find(self.audience.as_ref(), "audience", parts)? else {
            return Ok(self.always.clone());
        };
        let own = Audience::new(&text, self.audience_bytes)
            .map_err(|invalid| malformed("audience", invalid.why))?;
        Ok(Audiences::with(self.always.everyone_again(), own))
    }

    fn read_limit(&self, parts: &Parts<'_>) -> Result<u32, Failure> {
        let Some(text) = find(self.limit.as_ref(), "limit", parts)? else {
            return Ok(self.default_limit);
        };
        match parse_digits(&text) {
            None => Err(malformed("limit", "must be a whole number above 0")),
            Some(0) => Err(malformed("limit", "must be above 0")),
            Some(wanted) => Ok(u32::try_from(wanted)
                .unwrap_or(u32::MAX)
                .min(self.max_limit)),
        }
    }
}

fn find<'a>(
    source: Option<&Source>,
    what: &'static str,
    parts: &Parts<'a>,
) -> Result<Option<Cow<'a, str>>, Failure> {
    let value = source.map_or(Ok(None), |source| source.find(parts));
    value.map_err(|_not_utf8| malformed(what, "must be UTF-8"))
}

fn parse_token(text: &str) -> Result<Asked, Failure> {
    let cursor = text.parse::<Cursor>();
    cursor
        .map(Asked::from)
        .map_err(|invalid| malformed("cursor", invalid.why))
}

fn parse_position(text: &str) -> Result<Asked, Failure> {
    let number = parse_digits(text).filter(|number| *number <= i64::MAX.cast_unsigned());
    let position = number.map(Position::new).ok_or_else(|| {
        malformed(
            "cursor",
            "must be a whole number from 0 to 9223372036854775807",
        )
    })?;
    Ok(Asked {
        epoch: None,
        position,
    })
}

/// Digits only; what does not fit is as large as can be.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().unwrap_or(u64::MAX))
}

fn malformed(what: &'static str, why: impl Into<Cow<'static, str>>) -> Failure {
    let why = why.into();
    Failure::Malformed { what, why }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
