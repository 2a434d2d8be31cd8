//! The endpoint: a contract with its sources, and the way from request to answer.
//!
//! Invariant: every answer, errors included, carries the module's stage and this client's
//! transport, and is counted once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};

use super::{
    contract::Contract,
    failure::Failure,
    floor::{Asked, Floor},
    look::{Look, Seen},
    meters::{Answered, Meters},
    render::{Around, render},
    request::Request,
    source::Parts,
    sources::Sources,
    steering::Steering,
};
use crate::{
    config,
    cutover::Evaluation,
    domain::{Micros, Stage},
};

const STAGE: HeaderName = HeaderName::from_static("changeover-stage");
const TRANSPORT: HeaderName = HeaderName::from_static("changeover-transport");
const NEXT_POLL_MS: HeaderName = HeaderName::from_static("changeover-next-poll-ms");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How many headers an answer has at most, so that the map is made once.
const MOST_HEADERS: usize = 10;

/// A legacy endpoint that answers.
pub struct Endpoint {
    contract: Contract,
    sources: Arc<Sources>,
    meters: Meters,
    steering: Steering,
    floor: Option<Floor>,
    allow: HeaderValue,
    retry_after_s: u32,
}

impl Endpoint {
    /// Sets a contract to work. To be called after the metrics recorder is installed.
    pub fn new(contract: Contract, sources: Arc<Sources>, config: &config::poll::Poll) -> Self {
        Self {
            meters: Meters::new(contract.module()),
            steering: Steering::new(
                contract.next_poll_ms,
                contract.steer.clone(),
                Instant::now(),
            ),
            floor: Floor::new(contract.floor, config.floor_entries),
            allow: allow(&contract),
            retry_after_s: config.retry_after_s,
            contract,
            sources,
        }
    }

    /// The contract.
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Whether a method is one of the contract's.
    pub fn allows(&self, method: &Method) -> bool {
        let methods = self.contract.methods();
        match *method {
            Method::GET | Method::HEAD => methods.contains(&config::modules::Method::Get),
            Method::POST => methods.contains(&config::modules::Method::Post),
            _ => false,
        }
    }

    /// Answers a poll.
    pub async fn answer(&self, parts: &Parts<'_>) -> Response<Bytes> {
        let begun = Instant::now();
        let request = match self.contract.fields.read(parts) {
            Ok(request) => request,
            Err(failure) => {
                tracing::debug!(module = %self.contract.module, ?failure, "a poll was refused");
                return self.refuse(&failure, "", begun);
            }
        };
        let client_id = request.client_id();
        let evaluation = self.evaluate(client_id);
        if evaluation.effective == Stage::Retired {
            return self.refuse(&Failure::Retired, client_id, begun);
        }
        if let Some(answer) = self.again(&request, evaluation, begun) {
            return answer;
        }
        let look = Look {
            sources: &self.sources,
            contract: &self.contract,
            request: &request,
        };
        match look.seen().await {
            Ok(seen) => self.show(&seen, &request, begun),
            Err(failure) => self.refuse(&failure, client_id, begun),
        }
    }

    /// The empty answer of a moment ago, for a client in a tight loop.
    fn again(
        &self,
        request: &Request<'_>,
        evaluation: Evaluation,
        begun: Instant,
    ) -> Option<Response<Bytes>> {
        let floor = self.floor.as_ref().filter(|_| request.wait.is_zero())?;
        let answer = floor.again(&Asked::new(request, evaluation), begun)?;
        self.count(Answered::Limited, begun.elapsed());
        Some(answer)
    }

    /// The error envelope for a request that was not, or could not be, read.
    pub fn refuse_unread(&self, failure: &Failure) -> Response<Bytes> {
        self.refuse(failure, "", Instant::now())
    }

    fn show(&self, seen: &Seen, request: &Request<'_>, begun: Instant) -> Response<Bytes> {
        // Asked again: the stage may have flipped while the poll waited.
        let evaluation = self.evaluate(request.client_id());
        if evaluation.effective == Stage::Retired {
            return self.refuse(&Failure::Retired, request.client_id(), begun);
        }
        let next_poll_ms = self.next_poll_ms(evaluation.effective, begun + seen.waited);
        let around = Around {
            now: self.sources.clock.now(),
            next_poll_ms,
            transport: evaluation.transport,
        };
        let body = render(&self.contract, &seen.page, around);
        let mut response = Response::new(Bytes::from(body));
        let mut headers = self.headers(evaluation);
        if self.steering.is_on() || next_poll_ms != self.contract.next_poll_ms {
            headers.insert(NEXT_POLL_MS, HeaderValue::from(next_poll_ms));
        }
        *response.headers_mut() = headers;
        self.count(
            seen.page.answered,
            begun.elapsed().saturating_sub(seen.waited),
        );
        if let Some(floor) = &self.floor
            && seen.page.items.len() == 0
        {
            floor.remember(Asked::new(request, evaluation), &response, Instant::now());
        }
        response
    }

    fn refuse(&self, failure: &Failure, client_id: &str, begun: Instant) -> Response<Bytes> {
        let (status, body) = self.contract.refuse(failure);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let mut headers = self.headers(self.evaluate(client_id));
        if let Some(seconds) = failure.retry_after_s(self.retry_after_s) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *failure == Failure::Method {
            headers.insert(ALLOW, self.allow.clone());
        }
        *response.headers_mut() = headers;
        self.count(failure.answered(), begun.elapsed());
        response
    }

    fn headers(&self, evaluation: Evaluation) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(MOST_HEADERS);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(
            STAGE,
            HeaderValue::from_static(evaluation.effective.as_str()),
        );
        headers.insert(
            TRANSPORT,
            HeaderValue::from_static(evaluation.transport.as_str()),
        );
        match evaluation.effective {
            Stage::Sunset => self.contract.sunset.announce(self.since(), &mut headers),
            Stage::Retired => self.contract.sunset.link(&mut headers),
            Stage::Mirror | Stage::Ramp => {}
        }
        headers
    }

    /// When the module reached its stage.
    fn since(&self) -> Micros {
        let record = self.sources.flags.record(&self.contract.module);
        record.map_or_else(|| self.sources.clock.now(), |record| record.changed_at)
    }

    /// What the client is told, who polls now. The interval of a sunset is not steered below itself.
    fn next_poll_ms(&self, stage: Stage, now: Instant) -> u64 {
        let strain = || self.sources.reader.admission.strain(&self.contract.module);
        let steered = self.steering.interval_ms(now, strain, rand::random);
        let slower = self.contract.sunset.next_poll_ms;
        match slower.filter(|_| stage >= Stage::Sunset) {
            Some(slower) if steered == self.contract.next_poll_ms => slower,
            Some(slower) => slower.max(steered),
            None => steered,
        }
    }

    fn evaluate(&self, client_id: &str) -> Evaluation {
        self.sources
            .flags
            .evaluate(&self.contract.module, client_id)
    }

    fn count(&self, answered: Answered, took: Duration) {
        self.meters.count(answered, took);
    }
}

fn allow(contract: &Contract) -> HeaderValue {
    let get = contract.methods().contains(&config::modules::Method::Get);
    let post = contract.methods().contains(&config::modules::Method::Post);
    HeaderValue::from_static(match (get, post) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    })
}
