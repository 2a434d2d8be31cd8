//! Who asks: what an evaluation knows of its client, taken from the context of a request or from the address of a stream.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use axum::body::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::failure::Failure;
use crate::{
    domain::{Audience, Client},
    http::public::{doors, session},
    identity::Who,
};

/// Where a client's stream is.
const STREAM: &str = "/ofrep/v1/sse";

/// What stands before the ticket there.
const TICKET: &str = "&ticket=";

/// The ticket in the query of a stream's address, and what it is for: what stands before it.
pub(super) fn ticket_in(query: &str) -> Option<(&str, &str)> {
    let (address, ticket) = query.rsplit_once(TICKET)?;
    let ticket = ticket.split('&').next().unwrap_or_default();
    Some((address, ticket))
}

/// Who asks. What is here was checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) client_id: String,
    /// Whose changes it may read, besides everyone's.
    pub(super) audiences: Arc<[Audience]>,
    /// The audience of those that the request named.
    pub(super) named: Option<Audience>,
    /// Its program and version.
    pub(super) agent: Option<String>,
    /// Where it calls from. It stands in no answer, and may be another one for its stream.
    pub(super) address: Option<IpAddr>,
    /// What there is not for it.
    pub(super) hidden: Hidden,
    /// What stands for its credential in the address of its stream.
    pub(super) ticket: Option<Box<str>>,
}

/// The places of flags that a caller is not told of.
pub(super) type Hidden = Box<[usize]>;

/// The body of an evaluation.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

/// The body of an evaluation. Other members are passed over.
#[derive(ToSchema)]
#[schema(as = EvaluationRequest)]
#[expect(dead_code, reason = "it only describes what `Asker` reads")]
pub(in crate::http::public) struct RequestBody {
    context: ContextBody,
}

/// What is known of the client. Other members are passed over.
#[derive(ToSchema)]
#[schema(as = EvaluationContext, rename_all = "camelCase")]
#[expect(dead_code, reason = "it only describes what `Asker` reads")]
struct ContextBody {
    /// Which client asks: the same id each time, as a poll of it names it. Absent = the caller's own id; with open callers it must be
    /// there.
    #[schema(min_length = 1, max_length = 128)]
    targeting_key: Option<String>,
    /// Whose changes, besides everyone's: with open callers who asks, else one of the caller's audiences; absent = all of them.
    audience: Option<String>,
    /// Its program and version. What the caller's credential says of it comes first.
    #[schema(max_length = 256)]
    agent: Option<String>,
}

/// What may be known of a client, by the names of the protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    targeting_key: Option<String>,
    audience: Option<String>,
    agent: Option<String>,
}

impl Asker {
    /// Reads the body of a caller's request. Nothing at all is a context without a targeting key: some providers send that.
    pub(super) fn read(body: &Bytes, who: &Who, audience_bytes: usize) -> Result<Self, Failure> {
        let context = if body.trim_ascii().is_empty() {
            Context::default()
        } else {
            let request: Request<'_> = object(body).map_err(Failure::Parse)?;
            let context = request
                .context
                .map(|context| object(context.get().as_bytes()));
            context
                .transpose()
                .map_err(Failure::Context)?
                .unwrap_or_default()
        };
        Self::check(context, who, audience_bytes)
    }

    /// Reads the query of a stream's address.
    pub(super) fn of_query(query: &str, who: &Who, audience_bytes: usize) -> Result<Self, Failure> {
        let mut context = Context::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let member = match &*name {
                "targetingKey" => &mut context.targeting_key,
                "audience" => &mut context.audience,
                "agent" => &mut context.agent,
                _ => continue,
            };
            *member = Some(value.into_owned());
        }
        Self::check(context, who, audience_bytes)
    }

    fn check(context: Context, who: &Who, audience_bytes: usize) -> Result<Self, Failure> {
        let said = context.targeting_key.filter(|key| !key.is_empty());
        if said.is_none() && who.caller().is_none() {
            return Err(Failure::NoTargetingKey);
        }
        let client_id = who.client_id(said.map(Cow::Owned))?.into_owned();
        let bad = |field: &str, why: &str| Failure::Context(format!("{field}: {why}"));
        session::fits(&client_id, session::CLIENT_ID_BYTES)
            .map_err(|why| bad("targetingKey", &why))?;
        if let Some(agent) = &context.agent {
            session::fits(agent, session::AGENT_BYTES).map_err(|why| bad("agent", &why))?;
        }
        let named = context.audience;
        let named = named.map(|text| Audience::new(&text, audience_bytes));
        let named = named
            .transpose()
            .map_err(|why| Failure::Context(why.to_string()))?;
        let vouched = who.caller().and_then(|caller| caller.agent.as_deref());
        Ok(Self {
            client_id,
            audiences: doors::audiences(who, named.clone())?,
            named,
            agent: vouched.map(str::to_owned).or(context.agent),
            address: None,
            hidden: Hidden::default(),
            ticket: None,
        })
    }

    /// The same, to whom these flags are not told.
    pub(super) fn without(self, hidden: Hidden) -> Self {
        Self { hidden, ..self }
    }

    /// The same, calling from there.
    pub(super) fn calling_from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same, with what this gives for the address of its stream.
    pub(super) fn ticketed(mut self, ticket: impl FnOnce(&str) -> Option<String>) -> Self {
        let ticket = ticket(&self.stream()[STREAM.len() + 1..]);
        self.ticket = ticket.map(String::into_boxed_str);
        self
    }

    /// Where the client learns that its flags have changed, with its ticket.
    pub(super) fn stream_with_ticket(&self) -> Option<String> {
        let ticket = self.ticket.as_deref()?;
        Some(format!("{}{TICKET}{ticket}", self.stream()))
    }

    /// What an evaluation knows of it.
    pub(super) fn client(&self) -> Client<'_> {
        Client {
            id: &self.client_id,
            audiences: &self.audiences,
            agent: self.agent.as_deref().unwrap_or_default().as_bytes(),
            address: self.address,
        }
    }

    /// What its texts take in memory.
    pub(super) fn bytes(&self) -> usize {
        let audiences = self.audiences.iter().map(Audience::as_str);
        let texts = [
            Some(&*self.client_id),
            self.agent.as_deref(),
            self.ticket.as_deref(),
        ];
        let texts = texts
            .into_iter()
            .flatten()
            .chain(audiences)
            .map(str::len)
            .sum::<usize>();
        texts + size_of_val(&*self.audiences) + size_of_val(&*self.hidden)
    }

    /// The same without it, and the same each time.
    pub(super) fn stream(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut uri = format!("{STREAM}?targetingKey={}", encode(&self.client_id));
        let audience = self.named.as_ref().map(Audience::as_str);
        let rest = [("audience", audience), ("agent", self.agent.as_deref())];
        for (name, value) in rest {
            if let Some(value) = value {
                uri.extend(["&", name, "=", &encode(value)]);
            }
        }
        uri
    }
}

/// What is an object; a list with the same values is none.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    if json.trim_ascii().first() != Some(&b'{') {
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(json);
        return Err(match read {
            Ok(_) => "must be an object".to_owned(),
            Err(why) => why.to_string(),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|why| why.to_string())?;
    json.end().map_err(|why| why.to_string())?;
    Ok(read)
}
