//! What a client is told, as flags.

use std::{fmt::Write, sync::Arc};

use axum::{body::Bytes, http::HeaderValue};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{Asker, Flag, OfrepState, held::Generation};
use crate::{
    cutover::{Advice, Evaluation},
    http::public::etag,
};

/// A flag, evaluated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvaluatedFlag)]
pub(in crate::http::public) struct Evaluated<'a> {
    #[schema(pattern = "^module\\.", example = "module.commission")]
    key: &'a str,
    /// How the client is to receive the module's changes.
    #[schema(pattern = "^(poll|push)$")]
    value: &'static str,
    /// Why, as OpenFeature says it: `STATIC` (all clients are told the same), `SPLIT` (it is in the cohort or not), `TARGETING_MATCH`
    /// (it is named), `DISABLED` (there is trouble, so that it is told to poll, or soon will be), or `UNKNOWN`.
    #[schema(pattern = "^(STATIC|SPLIT|TARGETING_MATCH|DISABLED|UNKNOWN)$")]
    reason: &'static str,
    /// The same as the value.
    #[schema(pattern = "^(poll|push)$")]
    variant: &'static str,
    metadata: Metadata<'a>,
}

/// What is behind it, for people and logs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlagMetadata)]
struct Metadata<'a> {
    /// The stage in force.
    stage: &'static str,
    /// The stage that engineers asked for.
    stage_requested: &'static str,
    /// Why: a stable word.
    reason: &'static str,
    /// Where the client connects; absent if no target gets the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
}

/// All flags, evaluated for one client.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvaluatedFlags)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::public) struct AllEvaluated<'a> {
    flags: Vec<Evaluated<'a>>,
    event_streams: [EventStream; 1],
}

/// Where the client learns that its flags have changed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventStream {
    /// Always `sse`.
    r#type: &'static str,
    endpoint: StreamEndpoint,
    /// After how many seconds out of sight a client is to close the stream.
    #[schema(minimum = 1)]
    inactivity_delay_sec: u32,
}

/// Path and query of a stream; its origin is that of the request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamEndpoint {
    #[schema(pattern = "^/")]
    request_uri: String,
}

/// A whole answer with its hash. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// The hash of the body, in hexadecimal.
    pub(super) hash: Arc<str>,
    /// The hash that it would have without a ticket: what streams speak of.
    pub(super) flags: Arc<str>,
    /// Its `ETag`: the hash in quotes.
    pub(super) tag: HeaderValue,
}

impl Answer {
    /// An answer of this body.
    pub(super) fn of(body: Bytes) -> Self {
        let hash: Arc<str> = hash(&body).into();
        let tag = HeaderValue::try_from(quoted(&hash));
        Self {
            body,
            tag: tag.expect("hexadecimal digits in quotes may stand in a header"),
            flags: Arc::clone(&hash),
            hash,
        }
    }

    /// Whether this is the answer that an event, or an answer, was of.
    pub(super) fn is_told_by(&self, tag: &str) -> bool {
        etag::is_same(tag, &self.flags) || etag::is_same(tag, &self.hash)
    }
}

/// An entity tag around a hash.
pub(super) fn quoted(hash: &str) -> String {
    format!("\"{hash}\"")
}

impl OfrepState {
    /// Evaluates a flag.
    pub(super) fn one<'a>(&'a self, key: &str, asker: &Asker) -> Option<Evaluated<'a>> {
        let flag = self.flags_for(asker).find(|flag| flag.key == key)?;
        Some(evaluated(flag, self.advise(&flag.module, asker)))
    }

    fn flags_for<'a>(&'a self, asker: &Asker) -> impl Iterator<Item = &'a Flag> {
        let flags = self.flags.iter().enumerate();
        let shown = flags.filter(|(n, _)| !asker.hidden.contains(n));
        shown.map(|(_, flag)| flag)
    }

    /// Evaluates all flags, or gives the answer of before if nothing has changed since.
    pub(super) fn all(&self, asker: &Asker) -> Answer {
        // Asked for first: what changes while it is evaluated makes this answer an old one.
        let made_of = Generation {
            flags: self.adviser.flags().generation(),
            standings: self.standings.version(),
        };
        if let Some(answer) = self.held.get(asker, made_of) {
            return answer;
        }
        let answer = self.evaluate_all(asker);
        self.held.put(asker, made_of, &answer);
        answer
    }

    fn evaluate_all(&self, asker: &Asker) -> Answer {
        let flags = self.flags_for(asker);
        let flags = flags.map(|flag| evaluated(flag, self.advise(&flag.module, asker)));
        let mut all = AllEvaluated {
            flags: flags.collect(),
            event_streams: [EventStream {
                r#type: "sse",
                endpoint: StreamEndpoint {
                    request_uri: asker.stream(),
                },
                inactivity_delay_sec: self.settings.inactivity_s,
            }],
        };
        let write = |all: &AllEvaluated<'_>| {
            let body = serde_json::to_vec(all).expect("texts and numbers have a JSON form");
            Answer::of(Bytes::from(body))
        };
        let plain = write(&all);
        let Some(with_ticket) = asker.stream_with_ticket() else {
            return plain;
        };
        all.event_streams[0].endpoint.request_uri = with_ticket;
        Answer {
            flags: plain.hash,
            ..write(&all)
        }
    }
}

fn evaluated<'a>(flag: &'a Flag, advice: Advice<'a>) -> Evaluated<'a> {
    let Advice {
        evaluation, target, ..
    } = advice;
    let value = evaluation.transport.as_str();
    Evaluated {
        key: &flag.key,
        value,
        reason: reason(evaluation),
        variant: value,
        metadata: Metadata {
            stage: evaluation.effective.as_str(),
            stage_requested: evaluation.requested.as_str(),
            reason: evaluation.reason,
            target,
        },
    }
}

/// Our word for why, as OpenFeature's.
fn reason(evaluation: Evaluation) -> &'static str {
    match evaluation.reason {
        "stage" | "no-upstream" => "STATIC",
        "cohort" => "SPLIT",
        "included" | "excluded" => "TARGETING_MATCH",
        "no-target" | "guard" | "panic" => "DISABLED",
        _ => "UNKNOWN",
    }
}

fn hash(body: &[u8]) -> String {
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        write!(hash, "{byte:02x}").expect("writing to a string does not fail");
    }
    hash
}
