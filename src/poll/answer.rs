//! The endpoint: a contract with its sources, and the way from request to answer.
//!
//! Invariant: every answer, errors included, carries the module's stage and this client's
//! transport, and is counted once.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};

use super::{
    contract::Contract,
    failure::Failure,
    meters::{Answered, Meters},
    page::Page,
    read::Read,
    render::{Around, render},
    request::Request,
    source::Parts,
    sources::Sources,
    whole_state::WholeState,
};
use crate::{
    config::{self, modules::CursorKind},
    cutover::Evaluation,
    domain::{Micros, Stage},
};

const STAGE: HeaderName = HeaderName::from_static("changeover-stage");
const TRANSPORT: HeaderName = HeaderName::from_static("changeover-transport");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How many headers an answer has at most, so that the map is made once.
const MOST_HEADERS: usize = 10;

/// A legacy endpoint that answers.
pub struct Endpoint {
    contract: Contract,
    sources: Arc<Sources>,
    meters: Meters,
    allow: HeaderValue,
    retry_after_s: u32,
}

impl Endpoint {
    /// Sets a contract to work. To be called after the metrics recorder is installed.
    pub fn new(contract: Contract, sources: Arc<Sources>, config: &config::poll::Poll) -> Self {
        Self {
            meters: Meters::new(contract.module()),
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
        match self.read(&request).await {
            Ok(page) => self.show(&page, evaluation, begun),
            Err(failure) => self.refuse(&failure, client_id, begun),
        }
    }

    /// The error envelope for a request that was not, or could not be, read.
    pub fn refuse_unread(&self, failure: &Failure) -> Response<Bytes> {
        self.refuse(failure, "", Instant::now())
    }

    async fn read(&self, request: &Request<'_>) -> Result<Page, Failure> {
        let (sources, module) = (&*self.sources, &self.contract.module);
        let audiences = &request.audiences;
        if self.contract.fields.kind == CursorKind::None {
            let whole = WholeState {
                sources,
                module,
                audiences,
                max: self.contract.fields.max_limit,
            };
            return whole.page().await;
        }
        let read = Read {
            sources,
            module,
            audiences,
            asked: request.asked,
            limit: request.limit,
            state: self.contract.state,
        };
        read.page().await
    }

    fn show(&self, page: &Page, evaluation: Evaluation, begun: Instant) -> Response<Bytes> {
        let around = Around {
            now: self.sources.clock.now(),
            next_poll_ms: self.next_poll_ms(evaluation.effective),
            transport: evaluation.transport,
        };
        let body = render(&self.contract, page, around);
        let mut response = Response::new(Bytes::from(body));
        *response.headers_mut() = self.headers(evaluation);
        self.count(page.answered, begun);
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
        self.count(failure.answered(), begun);
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

    fn next_poll_ms(&self, stage: Stage) -> u64 {
        let slower = self.contract.sunset.next_poll_ms;
        let slower = slower.filter(|_| stage >= Stage::Sunset);
        slower.unwrap_or(self.contract.next_poll_ms)
    }

    fn evaluate(&self, client_id: &str) -> Evaluation {
        self.sources
            .flags
            .evaluate(&self.contract.module, client_id)
    }

    fn count(&self, answered: Answered, begun: Instant) {
        self.meters.count(answered, begun.elapsed());
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
