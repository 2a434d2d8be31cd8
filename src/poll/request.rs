//! What a poll asks for.
//!
//! Invariant: a request that parsed holds only values that the contract allows; anything else is
//! refused with words for the person who wrote the client. Its audiences are such as its caller may read, and its client id is the
//! caller's.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderValue, header::USER_AGENT};

use super::{
    asked::Asked,
    audiences::Audiences,
    compat::Compat,
    content::BodyKind,
    etag,
    failure::Failure,
    source::{Parts, Source},
    time_cursor,
    wait::Wait,
};
use crate::{
    config::modules::CursorKind,
    domain::{Audience, Client, Cursor, Micros, Position, Tick},
    identity::{Refused, Who},
    log::Since,
};

/// Where the values of a request stand and what they may be.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// `None` for `kind = "none"`.
    pub(super) cursor: Option<Source>,
    pub(super) kind: CursorKind,
    pub(super) audience: Option<Source>,
    /// What of the caller's credential is its audience, instead of a value of the request.
    pub(super) claim: Option<Box<str>>,
    /// `*`, and the constant audience if one is configured.
    pub(super) always: Audiences,
    pub(super) audience_bytes: usize,
    pub(super) client: Option<Source>,
    /// `None` = the `User-Agent`.
    pub(super) agent: Option<Source>,
    pub(super) limit: Option<Source>,
    pub(super) default_limit: u32,
    pub(super) max_limit: u32,
    pub(super) wait: Wait,
    pub(super) compat: Option<Arc<Compat>>,
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
    /// Absent where the `User-Agent` says it.
    agent: Option<Cow<'a, str>>,
}

impl Request<'_> {
    /// What is known of the client that asks.
    pub(super) fn client<'s>(&'s self, parts: &Parts<'s>) -> Client<'s> {
        let told = || parts.headers.get(USER_AGENT);
        let agent = match &self.agent {
            Some(agent) => agent.as_bytes(),
            None => told().map_or(&[][..], HeaderValue::as_bytes),
        };
        Client {
            id: self.client_id(),
            audiences: self.audiences.as_slice(),
            agent,
            address: parts.address,
        }
    }

    /// Which client this is; empty if it cannot be told apart.
    pub(super) fn client_id(&self) -> &str {
        self.client.as_deref().unwrap_or(self.audiences.own())
    }
}

/// A contract takes values from a form and from JSON, and one body cannot be both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TwoBodies;

impl Fields {
    /// What the body has to be: `None` if nothing is taken from it. `also` is one more source.
    pub(super) fn body(&self, also: Option<&Source>) -> Result<Option<BodyKind>, TwoBodies> {
        let sources = [
            &self.cursor,
            &self.audience,
            &self.client,
            &self.agent,
            &self.limit,
            &self.wait.source,
        ];
        let sources = sources.into_iter().flatten().chain(also);
        let mut kinds = sources.filter_map(Source::body);
        let first = kinds.next();
        if kinds.all(|kind| Some(kind) == first) {
            Ok(first)
        } else {
            Err(TwoBodies)
        }
    }

    pub(super) fn read<'a>(&self, parts: &Parts<'a>, who: &'a Who) -> Result<Request<'a>, Failure> {
        Ok(Request {
            asked: located(self.read_cursor(parts), self.cursor.as_ref())?,
            audiences: located(self.read_audiences(parts, who), self.audience.as_ref())?,
            limit: located(self.read_limit(parts), self.limit.as_ref())?,
            wait: located(self.read_wait(parts), self.wait.source.as_ref())?,
            client: self.read_client(parts, who)?,
            agent: self.read_agent(parts, who)?,
        })
    }

    /// A known caller has an id of its own, and its clients no other unless it may have several.
    fn read_client<'a>(
        &self,
        parts: &Parts<'a>,
        who: &'a Who,
    ) -> Result<Option<Cow<'a, str>>, Failure> {
        let source = self.client.as_ref();
        let said = located(find(source, "client", parts), source)?;
        if who.caller().is_none() {
            return Ok(said);
        }
        Ok(Some(who.client_id(said)?))
    }

    /// What a credential says of its program is believed before what the request says.
    fn read_agent<'a>(
        &self,
        parts: &Parts<'a>,
        who: &'a Who,
    ) -> Result<Option<Cow<'a, str>>, Failure> {
        let vouched = who.caller().and_then(|caller| caller.agent.as_deref());
        if let Some(agent) = vouched {
            return Ok(Some(Cow::Borrowed(agent)));
        }
        let Some(source) = &self.agent else {
            return Ok(None);
        };
        let said = located(find(Some(source), "agent", parts), Some(source))?;
        Ok(said.or(Some(Cow::Borrowed(""))))
    }

    fn read_cursor(&self, parts: &Parts<'_>) -> Result<Asked, Failure> {
        if self.kind == CursorKind::Etag {
            return Ok(self.read_tag(parts));
        }
        let text = find(self.cursor.as_ref(), "cursor", parts)?;
        self.asked(text.as_deref())
    }

    /// What a cursor says; without one, nothing was seen.
    pub(super) fn asked(&self, text: Option<&str>) -> Result<Asked, Failure> {
        let no_cursor = |text: &&str| self.compat().is_some_and(|c| c.means_no_cursor(text));
        let text = text.filter(|text| !no_cursor(text));
        if let Some(tick) = self.kind.tick() {
            return parse_time(text, self.kind, tick);
        }
        match (text, self.kind) {
            (None, _) | (_, CursorKind::None) => Ok(Asked::BEGINNING),
            (Some(text), CursorKind::Token | CursorKind::Etag) => parse_token(text),
            (Some(text), _) => parse_position(text),
        }
    }

    /// A tag is never malformed: one that we have not given says nothing.
    fn read_tag(&self, parts: &Parts<'_>) -> Asked {
        let found = find(self.cursor.as_ref(), "cursor", parts).ok().flatten();
        let cursor = found.and_then(|line| etag::oldest_cursor(&line));
        cursor.map_or(Asked::BEGINNING, Asked::from)
    }

    fn compat(&self) -> Option<&Compat> {
        self.compat.as_deref()
    }

    /// Whose changes the poll is about, which its caller has to be allowed to read, whoever names them.
    fn read_audiences(&self, parts: &Parts<'_>, who: &Who) -> Result<Audiences, Failure> {
        let audiences = self.named_audiences(parts, who)?;
        if audiences.as_slice().iter().all(|one| who.may_read(one)) {
            Ok(audiences)
        } else {
            Err(Refused::NotItsAudience.into())
        }
    }

    fn named_audiences(&self, parts: &Parts<'_>, who: &Who) -> Result<Audiences, Failure> {
        let own = match &self.claim {
            // One that cannot be an audience is nobody's.
            Some(claim) => who.claim(claim).map(|text| {
                Audience::new(text, self.audience_bytes)
                    .map_err(|_invalid| Refused::NotItsAudience.into())
            }),
            None => find(self.audience.as_ref(), "audience", parts)?.map(|text| {
                Audience::new(&text, self.audience_bytes)
                    .map_err(|invalid| malformed("audience", invalid.why))
            }),
        };
        Ok(match own.transpose()? {
            Some(own) => Audiences::with(self.always.everyone_again(), own),
            None => self.always.clone(),
        })
    }

    fn read_wait(&self, parts: &Parts<'_>) -> Result<Duration, Failure> {
        let text = find(self.wait.source.as_ref(), "wait", parts)?;
        let wait = self.wait.read(text.as_deref());
        wait.map_err(|why| malformed("wait", why))
    }

    fn read_limit(&self, parts: &Parts<'_>) -> Result<u32, Failure> {
        let Some(text) = find(self.limit.as_ref(), "limit", parts)? else {
            return Ok(self.default_limit);
        };
        if self.compat().is_some_and(|compat| compat.means_most(&text)) {
            return Ok(self.max_limit);
        }
        match parse_digits(&text) {
            None => Err(malformed("limit", "must be a whole number above 0")),
            Some(0) => Err(malformed("limit", "must be above 0")),
            Some(wanted) => Ok(u32::try_from(wanted)
                .unwrap_or(u32::MAX)
                .min(self.max_limit)),
        }
    }
}

/// The value of a source, if the contract has one.
pub(super) fn find<'a>(
    source: Option<&Source>,
    what: &'static str,
    parts: &Parts<'a>,
) -> Result<Option<Cow<'a, str>>, Failure> {
    let value = source.map_or(Ok(None), |source| source.find(parts));
    value.map_err(|unreadable| malformed(what, unreadable.why()))
}

/// Adds to a refusal where the value stands: `cursor (form field since)`.
pub(super) fn located<T>(
    result: Result<T, Failure>,
    source: Option<&Source>,
) -> Result<T, Failure> {
    result.map_err(|failure| match (failure, source) {
        (Failure::Malformed { what, why }, Some(source)) => Failure::Malformed {
            what: format!("{what} ({source})").into(),
            why,
        },
        (failure, _) => failure,
    })
}

fn parse_time(text: Option<&str>, kind: CursorKind, tick: Tick) -> Result<Asked, Failure> {
    let at = text.map_or(Ok(Micros::default()), |text| time_cursor::parse(text, kind));
    at.map(|at| Asked::From { at, tick })
        .map_err(|why| malformed("cursor", why))
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
    let epoch = None;
    Ok(Since { epoch, position }.into())
}

/// Digits only; what does not fit is as large as can be.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().unwrap_or(u64::MAX))
}

pub(super) fn malformed(
    what: impl Into<Cow<'static, str>>,
    why: impl Into<Cow<'static, str>>,
) -> Failure {
    let (what, why) = (what.into(), why.into());
    Failure::Malformed { what, why }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
