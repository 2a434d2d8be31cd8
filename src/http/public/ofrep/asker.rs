//! Who asks: what an evaluation knows of its client, taken from the context of a request or from the address of a stream.

use std::net::IpAddr;

use axum::body::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::failure::Failure;
use crate::{
    domain::{Audience, Client},
    http::public::session,
};

/// Where a client's stream is.
const STREAM: &str = "/ofrep/v1/sse";

/// Who asks. What is here was checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) client_id: String,
    /// With open callers: whose changes it may read, besides everyone's.
    pub(super) audience: Option<Audience>,
    /// Its program and version.
    pub(super) agent: Option<String>,
    /// Where it calls from. It stands in no answer, and may be another one for its stream.
    pub(super) address: Option<IpAddr>,
}

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
    /// Which client asks: the same id each time, as a poll of it names it.
    #[schema(min_length = 1, max_length = 128)]
    targeting_key: String,
    /// With open callers: who asks, besides everyone.
    audience: Option<String>,
    /// Its program and version.
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
    /// Reads the body of a request. Nothing at all is a context without a targeting key: some providers send that.
    pub(super) fn read(body: &Bytes, audience_bytes: usize) -> Result<Self, Failure> {
        if body.trim_ascii().is_empty() {
            return Err(Failure::NoTargetingKey);
        }
        let request: Request<'_> = object(body).map_err(Failure::Parse)?;
        let context = request.context.ok_or(Failure::NoTargetingKey)?;
        let context: Context = object(context.get().as_bytes()).map_err(Failure::Context)?;
        Self::check(context, audience_bytes)
    }

    /// Reads the query of a stream's address.
    pub(super) fn of_query(query: &str, audience_bytes: usize) -> Result<Self, Failure> {
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
        Self::check(context, audience_bytes)
    }

    fn check(context: Context, audience_bytes: usize) -> Result<Self, Failure> {
        let client_id = context.targeting_key.filter(|key| !key.is_empty());
        let client_id = client_id.ok_or(Failure::NoTargetingKey)?;
        let bad = |field: &str, why: &str| Failure::Context(format!("{field}: {why}"));
        session::fits(&client_id, session::CLIENT_ID_BYTES)
            .map_err(|why| bad("targetingKey", &why))?;
        if let Some(agent) = &context.agent {
            session::fits(agent, session::AGENT_BYTES).map_err(|why| bad("agent", &why))?;
        }
        let audience = context.audience;
        let audience = audience.map(|text| Audience::new(&text, audience_bytes));
        Ok(Self {
            client_id,
            audience: audience
                .transpose()
                .map_err(|why| Failure::Context(why.to_string()))?,
            agent: context.agent,
            address: None,
        })
    }

    /// The same, calling from there.
    pub(super) fn calling_from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// What an evaluation knows of it.
    pub(super) fn client(&self) -> Client<'_> {
        Client {
            id: &self.client_id,
            audiences: self.audience.as_slice(),
            agent: self.agent.as_deref().unwrap_or_default().as_bytes(),
            address: self.address,
        }
    }

    /// What its texts take in memory.
    pub(super) fn bytes(&self) -> usize {
        let audience = self.audience.as_ref().map(Audience::as_str);
        let texts = [Some(&*self.client_id), audience, self.agent.as_deref()];
        texts.into_iter().flatten().map(str::len).sum()
    }

    /// Where the client learns that its flags have changed. The same each time: it stands in what is hashed.
    pub(super) fn stream(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut uri = format!("{STREAM}?targetingKey={}", encode(&self.client_id));
        let audience = self.audience.as_ref().map(Audience::as_str);
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
