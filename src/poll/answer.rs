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
    HeaderValue, Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};

use super::{
    advised::Advised,
    contract::Contract,
    failure::Failure,
    floor::{Floor, Key},
    heads::{Heads, NEXT_POLL_MS},
    look::{Look, Seen},
    meters::{Answered, Meters},
    page::Page,
    refusal::allow,
    render::Around,
    request::Request,
    source::Parts,
    sources::Sources,
    steering::Steering,
    told::Told,
};
use crate::{
    config::{self, modules::CursorKind},
    cutover::{Clients, Evaluation},
    domain::{Client, Stage},
    identity::{Accepted, Refused, Who},
    telemetry::usage::NO_MODULE,
};

/// A legacy endpoint that answers.
pub struct Endpoint {
    pub(super) contract: Contract,
    pub(super) sources: Arc<Sources>,
    meters: Meters,
    pub(super) heads: Heads,
    steering: Steering,
    floor: Option<Floor>,
    /// Which callers the module takes.
    accepted: Accepted,
    /// Those of the module; absent = nobody remembers them.
    pub(super) clients: Option<Arc<Clients>>,
    pub(super) allow: HeaderValue,
    pub(super) retry_after_s: u32,
}

impl Endpoint {
    /// Sets a contract to work. To be called after the metrics recorder is installed.
    pub fn new(mut contract: Contract, sources: Arc<Sources>, config: &config::poll::Poll) -> Self {
        if !sources.identity.is_open() {
            contract
                .wording
                .keep_apart(sources.identity.places().vary());
        }
        if let Some(compat) = &contract.compat {
            compat.show();
        }
        Self {
            meters: meters(&contract, &sources),
            heads: Heads::new(&contract.wording),
            steering: Steering::new(
                contract.next_poll_ms,
                contract.steer.clone(),
                Instant::now(),
            ),
            floor: Floor::new(contract.floor, config.floor_entries),
            accepted: accepted(&contract, &sources),
            clients: clients(&contract, &sources),
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

    /// Answers a poll.
    pub async fn answer(&self, parts: &Parts<'_>) -> Response<Bytes> {
        let begun = Instant::now();
        let who = match self.who(parts).await {
            Ok(who) => who,
            Err(refused) => return self.refuse(&refused.into(), &Client::default(), begun),
        };
        let request = match self.read(parts, &who) {
            Ok(request) => request,
            Err(failure) => {
                tracing::debug!(module = %self.contract.module, ?failure, "a poll was refused");
                return self.refuse(&failure, &Client::default(), begun);
            }
        };
        let client = request.client(parts);
        let advised = self.advise(&client, parts, begun);
        if let Some(ended) = self.ended(advised.evaluation, &client, begun) {
            return self.refuse(&ended, &client, begun);
        }
        if let Some(answer) = self.again(&request, parts, advised.evaluation, begun) {
            return answer;
        }
        let holds = |page: &Page| self.holds(page, &request, parts, advised);
        let look = Look {
            sources: &self.sources,
            contract: &self.contract,
            request: &request,
            holds: self.can_hold(parts).then_some(&holds),
        };
        match look.seen().await {
            Ok(seen) => self.show(&seen, &request, parts, advised, begun),
            Err(failure) => self.refuse(&failure, &client, begun),
        }
    }

    /// Who polls, as far as the module asks for that.
    pub(super) async fn who(&self, parts: &Parts<'_>) -> Result<Who, Refused> {
        let identity = &self.sources.identity;
        if identity.is_open() {
            return Ok(Who::Open);
        }
        identity.who(&parts.asking(), self.accepted).await
    }

    /// What is asked for. Nobody waits past the time that its caller is believed for.
    fn read<'a>(&self, parts: &Parts<'a>, who: &'a Who) -> Result<Request<'a>, Failure> {
        let mut request = self.contract.fields.read(parts, who)?;
        request.wait = who.bounded(request.wait, || self.sources.clock.now());
        Ok(request)
    }

    /// The empty answer of a moment ago, for a client in a tight loop.
    fn again(
        &self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        evaluation: Evaluation,
        begun: Instant,
    ) -> Option<Response<Bytes>> {
        let floor = self.floor.as_ref().filter(|_| request.wait.is_zero())?;
        let key = Key::new(request, parts.headers, evaluation);
        let answer = floor.again(&key, begun)?;
        self.count(Answered::Limited, begun.elapsed(), answer.body().len());
        Some(answer)
    }

    /// Whether a client without a cursor tells what it has in another way.
    fn can_hold(&self, parts: &Parts<'_>) -> bool {
        self.contract.fields.kind == CursorKind::None && parts.headers.contains_key(IF_NONE_MATCH)
    }

    fn holds(
        &self,
        page: &Page,
        request: &Request<'_>,
        parts: &Parts<'_>,
        advised: Advised,
    ) -> bool {
        let around = self.around(advised, Instant::now());
        let told = Told::of(&self.contract, page, request, parts.headers, around);
        told.status == StatusCode::NOT_MODIFIED
    }

    fn show(
        &self,
        seen: &Seen,
        request: &Request<'_>,
        parts: &Parts<'_>,
        advised: Advised,
        begun: Instant,
    ) -> Response<Bytes> {
        let client = request.client(parts);
        // The stage may have flipped while the poll waited, and the client's push broken.
        let advised = if seen.waited.is_zero() {
            advised
        } else {
            self.advise(&client, parts, begun + seen.waited)
        };
        let evaluation = advised.evaluation;
        if let Some(ended) = self.ended(evaluation, &client, begun + seen.waited) {
            return self.refuse(&ended, &client, begun);
        }
        let around = self.around(advised, begun + seen.waited);
        let told = Told::of(&self.contract, &seen.page, request, parts.headers, around);
        let mut response = self.respond(told, evaluation);
        if self.steering.is_on() || around.next_poll_ms != self.contract.next_poll_ms {
            let next = HeaderValue::from(around.next_poll_ms);
            response.headers_mut().insert(NEXT_POLL_MS, next);
        }
        let took = begun.elapsed().saturating_sub(seen.waited);
        self.count(seen.page.answered, took, response.body().len());
        if let Some(floor) = &self.floor
            && seen.page.items.len() == 0
        {
            let key = Key::new(request, parts.headers, evaluation);
            floor.remember(key, &response, Instant::now());
        }
        response
    }

    /// What a request finds at once, whatever it allows.
    pub(super) async fn seen_at_once(&self, request: &Request<'_>) -> Result<Seen, Failure> {
        let look = Look {
            sources: &self.sources,
            contract: &self.contract,
            request,
            holds: None,
        };
        look.seen_at_once().await
    }

    pub(super) fn around(&self, advised: Advised, now: Instant) -> Around<'_> {
        Around {
            clock: &*self.sources.clock,
            next_poll_ms: self.next_poll_ms(advised, now),
            transport: advised.evaluation.transport,
        }
    }

    fn respond(&self, told: Told, evaluation: Evaluation) -> Response<Bytes> {
        let mut headers = self.headers(evaluation, !told.body.is_empty());
        if let Some(tag) = told.tag {
            headers.insert(ETAG, tag.header());
        }
        let mut response = Response::new(told.body);
        *response.status_mut() = told.status;
        *response.headers_mut() = headers;
        response
    }

    /// What the client is told, who polls now: one that is sent back from push waits for its time first, and one whose push is
    /// healthy the longer the longer it is.
    fn next_poll_ms(&self, advised: Advised, now: Instant) -> u64 {
        let interval = self.interval_ms(advised.evaluation.effective, now);
        let interval = advised.healthy_for.map_or(interval, |healthy_for| {
            let decay = self.sources.census.decay();
            decay.interval_ms(interval, healthy_for)
        });
        match advised.evaluation.returns {
            None => interval,
            Some(returns) => interval + returns.wait_ms(self.sources.clock.now(), rand::random),
        }
    }

    /// The interval of a sunset is not steered below itself.
    fn interval_ms(&self, stage: Stage, now: Instant) -> u64 {
        let strain = || self.sources.reader.admission.strain(&self.contract.module);
        let steered = self.steering.interval_ms(now, strain, rand::random);
        let slower = self.contract.sunset.next_poll_ms;
        match slower.filter(|_| stage >= Stage::Sunset) {
            Some(slower) if steered == self.contract.next_poll_ms => slower,
            Some(slower) => slower.max(steered),
            None => steered,
        }
    }

    pub(super) fn evaluate(&self, client: &Client<'_>) -> Evaluation {
        self.sources.adviser.evaluate(&self.contract.module, client)
    }

    pub(super) fn count(&self, answered: Answered, took: Duration, bytes: usize) {
        self.meters.count(answered, took, bytes);
    }
}

/// What concerns no single module is asked by any caller.
fn accepted(contract: &Contract, sources: &Sources) -> Accepted {
    match contract.called {
        Some(_) => sources.identity.accepted_by(&contract.module),
        None => Accepted::ALL,
    }
}

/// A request that names no known module has no clients that anybody knows.
fn clients(contract: &Contract, sources: &Sources) -> Option<Arc<Clients>> {
    contract.called.as_ref()?;
    sources.census.clients(&contract.module).cloned()
}

/// A request that names no known module is counted for none.
fn meters(contract: &Contract, sources: &Sources) -> Meters {
    let usage = &sources.usage;
    match contract.called {
        Some(_) => {
            let module = contract.module();
            Meters::new(module.as_str(), usage.of_module(module))
        }
        None => Meters::new(NO_MODULE, usage.of_others()),
    }
}
