//! From what a credential says to a caller: what it is called, and what it may read.
//!
//! Invariants: no caller without an id; `*` is never granted by a claim; what does not fit refuses the whole credential, so nobody reads with
//! half of what he should; one pattern makes the same name of the same claims alone, whatever users choose for them.

use std::{borrow::Cow, sync::Arc};

use super::{
    Caller, Claim, ClientIds,
    claims::{Claims, Unfit},
};
use crate::{
    config::{
        Config,
        auth::{self, Ids, Part, Pattern, Yields},
    },
    domain::{Audience, Micros},
};

/// The longest id of a client, as everywhere.
const CLIENT_ID_BYTES: usize = 128;

/// The longest agent: a longer one is no reason to refuse anybody, but is not taken.
const AGENT_BYTES: usize = 256;

/// What the credentials of one recognizer become.
pub(super) struct Granting {
    by: u8,
    pub(super) realm: Arc<str>,
    yields: Yields,
    max_audiences: usize,
    audience_bytes: usize,
    /// What modules ask for by name.
    kept: Vec<Arc<str>>,
}

impl Granting {
    pub(super) fn new(by: u8, caller: &auth::Caller, config: &Config) -> Self {
        Self {
            by,
            realm: caller.name.as_str().into(),
            yields: caller.yields.clone(),
            max_audiences: config.auth.max_audiences,
            audience_bytes: config.limits.audience_bytes,
            kept: config.claims().into_iter().map(Arc::from).collect(),
        }
    }

    /// The place of the recognizer.
    pub(super) const fn by(&self) -> u8 {
        self.by
    }

    /// Every claim that is looked at.
    pub(super) fn names(&self) -> Vec<String> {
        let client = std::iter::once(&self.yields.client);
        let patterns = client
            .chain(&self.yields.audiences)
            .chain(&self.yields.agent);
        let claim = |part: &Part| match part {
            Part::Claim(name) => Some(name.clone()),
            Part::Text(_) => None,
        };
        let named = patterns.flat_map(|pattern| pattern.parts().iter().filter_map(claim));
        named
            .chain(self.kept.iter().map(|name| name.as_ref().to_owned()))
            .collect()
    }

    /// The caller. `own` are audiences that it has whatever its credential says.
    pub(super) fn caller(
        &self,
        claims: &dyn Claims,
        own: &[String],
        expires_at: Option<Micros>,
    ) -> Result<Caller, Unfit> {
        let id = single(&self.yields.client, claims)?.ok_or("it does not say who the client is")?;
        let client_ids = match self.yields.client_ids {
            Ids::Own => ClientIds::Own,
            Ids::Any => ClientIds::Any,
        };
        Ok(Caller {
            by: self.by,
            realm: Arc::clone(&self.realm),
            id: fitting(&id, CLIENT_ID_BYTES, "the client's id")?.into(),
            client_ids,
            audiences: self.audiences(claims, own)?,
            claims: self.kept(claims)?,
            agent: self.agent(claims)?,
            expires_at,
        })
    }

    fn audiences(&self, claims: &dyn Claims, own: &[String]) -> Result<Arc<[Audience]>, Unfit> {
        let mut all: Vec<Cow<'_, str>> = own.iter().map(|name| name.as_str().into()).collect();
        for pattern in &self.yields.audiences {
            all.extend(several(pattern, claims, self.max_audiences)?);
        }
        all.retain(|name| name != Audience::EVERYONE);
        all.sort_unstable();
        all.dedup();
        if all.len() > self.max_audiences {
            return Err("it grants more audiences than auth.max_audiences");
        }
        let audience = |name: &Cow<'_, str>| Audience::new(name, self.audience_bytes);
        let all: Result<Arc<[_]>, _> = all.iter().map(audience).collect();
        all.map_err(|_| "an audience is empty, too long, or has control characters")
    }

    fn agent(&self, claims: &dyn Claims) -> Result<Option<Arc<str>>, Unfit> {
        let Some(pattern) = &self.yields.agent else {
            return Ok(None);
        };
        let agent = match single(pattern, claims) {
            // It is nobody's name: two of them may be alike.
            Err(RUNS_ON) => None,
            other => other?,
        };
        let fits = |agent: &String| fitting(agent, AGENT_BYTES, "").is_ok();
        Ok(agent.filter(fits).map(Arc::from))
    }

    fn kept(&self, claims: &dyn Claims) -> Result<Box<[Claim]>, Unfit> {
        let mut all = Vec::new();
        for name in &self.kept {
            if let [value] = claims.list(name)?.as_slice() {
                let value = fitting(value, self.audience_bytes, "a claim")?.into();
                let name = Arc::clone(name);
                all.push(Claim { name, value });
            }
        }
        Ok(all.into())
    }
}

fn fitting<'a>(text: &'a str, most: usize, what: &str) -> Result<&'a str, Unfit> {
    match what {
        _ if !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control) => {
            Ok(text)
        }
        "a claim" => {
            Err("a claim that modules ask for is empty, too long, or has control characters")
        }
        _ => Err("the client's id is empty, too long, or has control characters"),
    }
}

/// Whether what a claim says ends where what stands behind it begins, for whoever reads the whole. It does not if it holds that text, or its end and
/// that text do together (`a:` before `::`).
fn ends_at(said: &str, separator: Option<&str>) -> bool {
    separator.is_none_or(|text| format!("{said}{text}").find(text) == Some(said.len()))
}

/// Why a claim is refused whose end nobody could tell.
const RUNS_ON: Unfit = "a claim holds the text that ends it in the pattern";

/// The one text of a pattern; `None` if it lacks a claim.
fn single(pattern: &Pattern, claims: &dyn Claims) -> Result<Option<String>, Unfit> {
    let mut whole = String::new();
    for (part, separator) in pattern.separated() {
        match part {
            Part::Text(text) => whole.push_str(text),
            Part::Claim(name) => match claims.text(name)? {
                Some(said) if !ends_at(&said, separator) => return Err(RUNS_ON),
                // A part that is missing would make two callers one.
                Some(said) if !said.is_empty() => whole.push_str(&said),
                _ => return Ok(None),
            },
        }
    }
    Ok(Some(whole))
}

/// The texts of a pattern, one for each item of its lists.
fn several<'a>(
    pattern: &Pattern,
    claims: &'a dyn Claims,
    most: usize,
) -> Result<Vec<Cow<'a, str>>, Unfit> {
    let mut all = vec![Cow::Borrowed("")];
    for (part, separator) in pattern.separated() {
        let items = match part {
            Part::Text(text) => vec![Cow::Owned(text.clone())],
            Part::Claim(name) => claims.list(name)?,
        };
        if items.iter().any(|item| item.is_empty()) {
            return Err("a claim that audiences are made of is empty");
        }
        if !items.iter().all(|item| ends_at(item, separator)) {
            return Err(RUNS_ON);
        }
        // One more for `*`, which does not count.
        if all.len() * items.len() > most + 1 {
            return Err("it grants more audiences than auth.max_audiences");
        }
        let with = |before: &Cow<'a, str>| {
            let items = items.clone();
            let before = before.clone();
            items.into_iter().map(move |item| before.clone() + item)
        };
        all = all.iter().flat_map(with).collect();
    }
    Ok(all)
}
