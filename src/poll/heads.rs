//! The headers of answers.
//!
//! Invariant: what is made beforehand is what [`Endpoint::announce`] would make.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{answer::Endpoint, wording::Wording};
use crate::{
    cutover::Evaluation,
    domain::{Stage, Transport},
};

pub(super) const STAGE: HeaderName = HeaderName::from_static("changeover-stage");
pub(super) const TRANSPORT: HeaderName = HeaderName::from_static("changeover-transport");
pub(super) const NEXT_POLL_MS: HeaderName = HeaderName::from_static("changeover-next-poll-ms");

/// How many headers an answer has at most beside the configured ones, so that the map is made once.
const MOST_HEADERS: usize = 10;

/// The headers of answers with a body, for what clients are told while nothing ends: to copy them costs
/// half of making them, which each poll would do.
#[derive(Debug)]
pub(super) struct Heads {
    made: Vec<(Stage, Transport, HeaderMap)>,
}

impl Heads {
    pub(super) fn new(wording: &Wording) -> Self {
        let told = [
            (Stage::Mirror, Transport::Poll),
            (Stage::Ramp, Transport::Poll),
            (Stage::Ramp, Transport::Push),
        ];
        let make = |(stage, transport)| {
            let mut headers = room(wording);
            wording.head(&mut headers, true);
            name(stage, transport, &mut headers);
            (stage, transport, headers)
        };
        Self {
            made: told.into_iter().map(make).collect(),
        }
    }

    fn of(&self, evaluation: Evaluation) -> Option<&HeaderMap> {
        let told = (evaluation.effective, evaluation.transport);
        let mut made = self.made.iter();
        made.find(|(stage, transport, _)| (*stage, *transport) == told)
            .map(|(_, _, headers)| headers)
    }
}

fn room(wording: &Wording) -> HeaderMap {
    HeaderMap::with_capacity(MOST_HEADERS + wording.most_headers())
}

fn name(stage: Stage, transport: Transport, headers: &mut HeaderMap) {
    headers.insert(STAGE, HeaderValue::from_static(stage.as_str()));
    headers.insert(TRANSPORT, HeaderValue::from_static(transport.as_str()));
}

impl Endpoint {
    /// The headers of an answer to a client of the module.
    pub(super) fn headers(&self, evaluation: Evaluation, has_body: bool) -> HeaderMap {
        if let Some(made) = self.heads.of(evaluation).filter(|_| has_body) {
            return made.clone();
        }
        let mut headers = self.room_for_headers();
        self.contract.wording.head(&mut headers, has_body);
        self.announce(evaluation, &mut headers);
        headers
    }

    /// The headers of every answer with a body, whatever the module's stage.
    pub(super) fn plain_headers(&self) -> HeaderMap {
        let mut headers = self.room_for_headers();
        self.contract.wording.head(&mut headers, true);
        headers
    }

    pub(super) fn room_for_headers(&self) -> HeaderMap {
        room(&self.contract.wording)
    }

    /// Stage and transport, and the end of the endpoint.
    pub(super) fn announce(&self, evaluation: Evaluation, headers: &mut HeaderMap) {
        name(evaluation.effective, evaluation.transport, headers);
        match evaluation.effective {
            Stage::Sunset => self.contract.sunset.announce(self.since(), headers),
            Stage::Retired => self.contract.sunset.link(headers),
            Stage::Proxy | Stage::Shadow | Stage::Mirror | Stage::Ramp => {}
        }
    }
}
