//! Answering a batch: each module as at its own endpoint, all of them in one body.
//!
//! Invariants: what is wrong with one module hides no other's answer; one request reads one module
//! after the other, so it never holds more of the database than a single poll does; a module that takes other callers is answered to
//! nobody else, and says so in its own place.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use super::{
    advised::Advised,
    answer::Endpoint,
    batch::{Batch, BatchSlot, Wanted},
    failure::Failure,
    heads::TRANSPORT,
    json,
    look::Seen,
    page::Page,
    render::render,
    request::Request,
    route::Endpoints,
    source::{Parts, Source},
    wording::envelope,
};
use crate::{
    config::{endpoints::Answers, modules::CursorKind},
    cutover::Evaluation,
    domain::{Micros, Stage},
    identity::{Refused, Who},
};

/// A legacy endpoint that answers for many modules at once.
pub(super) struct BatchEndpoint {
    batch: Batch,
    endpoints: Endpoints,
}

/// The answer of one module.
struct Answer<'a> {
    called: &'a str,
    body: Vec<u8>,
    items: usize,
    cut: bool,
    next_poll_ms: Option<u64>,
    /// `None` if there is no such module.
    known: Option<(&'a Endpoint, Evaluation)>,
}

impl BatchEndpoint {
    pub(super) const fn new(batch: Batch, endpoints: Endpoints) -> Self {
        Self { batch, endpoints }
    }

    /// The modules, by what clients call them.
    pub(super) const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whether a request names them in a list.
    pub(super) const fn is_list(&self) -> bool {
        self.batch.is_list()
    }

    /// Where a request names them.
    pub(super) fn source(&self) -> Source {
        self.batch.source()
    }

    /// Answers a batch. `whole` is the endpoint of no module, for what concerns them all.
    pub(super) async fn answer(&self, whole: &Endpoint, parts: &Parts<'_>) -> Response<Bytes> {
        let begun = Instant::now();
        let who = match whole.who(parts).await {
            Ok(who) => who,
            Err(refused) => return whole.refuse_unattributed(&refused.into(), None, begun),
        };
        let read = whole.contract().fields.read(parts, &who);
        let read = read.and_then(|request| Ok((request, self.batch.read(parts.body)?)));
        let (mut request, wanted) = match read {
            Ok(read) => read,
            Err(failure) => {
                tracing::debug!(
                    path = whole.contract().path(),
                    ?failure,
                    "a batch was refused"
                );
                return whole.refuse_unattributed(&failure, None, begun);
            }
        };
        let mut answers = Vec::with_capacity(wanted.len());
        for one in &wanted {
            let answer = self.answer_one(whole, one, &mut request, (parts, &who));
            answers.push(answer.await);
        }
        let now = whole.sources.clock.now();
        let mut response = Response::new(Bytes::from(self.render(&answers, now)));
        *response.headers_mut() = headers(whole, &answers);
        response
    }

    async fn answer_one<'a>(
        &'a self,
        whole: &Endpoint,
        wanted: &'a Wanted<'_>,
        request: &mut Request<'_>,
        (parts, who): (&Parts<'_>, &Who),
    ) -> Answer<'a> {
        let begun = Instant::now();
        let called = &*wanted.called;
        let Some(endpoint) = self.endpoints.get(called) else {
            let failure = Failure::UnknownModule;
            let body = self.refuse(&failure, called);
            whole.count(failure.answered(), begun.elapsed(), body.len());
            return Answer::refused(called, body, None);
        };
        let module = endpoint.contract().module();
        if !whole
            .sources
            .identity
            .takes(module, &parts.asking(), who)
            .await
        {
            return self.forbidden(called, endpoint, begun);
        }
        let advised = endpoint.advise(&request.client(parts), parts, begun);
        let evaluation = advised.evaluation;
        let known = Some((endpoint, evaluation));
        match self
            .page(endpoint, evaluation, wanted, request, parts)
            .await
        {
            Ok(seen) => {
                let answer = Answer::of_page(called, endpoint, advised, &seen.page);
                endpoint.count(seen.page.answered, begun.elapsed(), answer.body.len());
                answer
            }
            Err(failure) => {
                tracing::debug!(module = called, ?failure, "a module of a batch was refused");
                let body = self.refuse(&failure, called);
                endpoint.count(failure.answered(), begun.elapsed(), body.len());
                Answer::refused(called, body, known)
            }
        }
    }

    /// The place of a module that takes other callers: as that of one that there is not, with a status of its own.
    fn forbidden<'a>(&self, called: &'a str, endpoint: &Endpoint, begun: Instant) -> Answer<'a> {
        let refused = Refused::NotThisModule;
        refused.count("legacy");
        let failure = Failure::Refused(refused);
        let body = self.refuse(&failure, called);
        endpoint.count(failure.answered(), begun.elapsed(), body.len());
        Answer::refused(called, body, None)
    }

    async fn page(
        &self,
        endpoint: &Endpoint,
        evaluation: Evaluation,
        wanted: &Wanted<'_>,
        request: &mut Request<'_>,
        parts: &Parts<'_>,
    ) -> Result<Seen, Failure> {
        if let Some(ended) = endpoint.ended(evaluation, &request.client(parts), Instant::now()) {
            return Err(ended);
        }
        let fields = &endpoint.contract().fields;
        if fields.kind != CursorKind::None {
            let cursor = wanted.cursor();
            let asked = cursor.and_then(|text| fields.asked(text.as_deref()));
            request.asked = asked.map_err(|failure| self.batch.located(failure))?;
        }
        endpoint.seen_at_once(request).await
    }

    fn refuse(&self, failure: &Failure, called: &str) -> Vec<u8> {
        envelope(&self.batch.error, failure, Some(called))
    }

    fn render(&self, answers: &[Answer<'_>], now: Micros) -> Vec<u8> {
        let bytes: usize = answers
            .iter()
            .map(|one| one.body.len() + one.called.len() + 4)
            .sum();
        let template = &self.batch.body;
        let mut out = Vec::with_capacity(template.literal_bytes() + bytes + 64);
        template.render(&mut out, |out, slot| match slot {
            BatchSlot::Modules => self.push_answers(out, answers),
            BatchSlot::Count => {
                json::push_integer(out, answers.iter().map(|one| one.items).sum::<usize>());
            }
            BatchSlot::HasMore => json::push_bool(out, answers.iter().any(|one| one.cut)),
            BatchSlot::ServerTimeMs => json::push_integer(out, now.as_millis()),
            BatchSlot::NextPollMs => json::push_integer_or_null(out, soonest(answers)),
        });
        out
    }

    fn push_answers(&self, out: &mut Vec<u8>, answers: &[Answer<'_>]) {
        let (open, close) = match self.batch.answers {
            Answers::Object => (b'{', b'}'),
            Answers::List => (b'[', b']'),
        };
        out.push(open);
        for (n, one) in answers.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            if self.batch.answers == Answers::Object {
                json::push_string(out, one.called);
                out.push(b':');
            }
            out.extend_from_slice(&one.body);
        }
        out.push(close);
    }
}

#[cfg(any(test, fuzzing))]
impl BatchEndpoint {
    /// The body of an answer to a request of which no module is known.
    pub(super) fn to_unknown(&self, wanted: &[Wanted<'_>], now: Micros) -> Vec<u8> {
        let refused = wanted.iter().map(|one| {
            let body = self.refuse(&Failure::UnknownModule, &one.called);
            Answer::refused(&one.called, body, None)
        });
        self.render(&refused.collect::<Vec<_>>(), now)
    }
}

impl<'a> Answer<'a> {
    fn of_page(called: &'a str, endpoint: &'a Endpoint, advised: Advised, page: &Page) -> Self {
        let around = endpoint.around(advised, Instant::now());
        Self {
            called,
            body: render(
                &endpoint.contract().wording.body,
                endpoint.contract(),
                page,
                around,
            ),
            items: page.items.len(),
            cut: page.cut,
            next_poll_ms: Some(around.next_poll_ms),
            known: Some((endpoint, advised.evaluation)),
        }
    }

    const fn refused(
        called: &'a str,
        body: Vec<u8>,
        known: Option<(&'a Endpoint, Evaluation)>,
    ) -> Self {
        Self {
            called,
            body,
            items: 0,
            cut: false,
            next_poll_ms: None,
            known,
        }
    }
}

fn soonest(answers: &[Answer<'_>]) -> Option<u64> {
    answers.iter().filter_map(|one| one.next_poll_ms).min()
}

/// What is the same for all modules of the request is said in headers, what differs is not. At one
/// stage, the module that ends first speaks for all.
fn headers(whole: &Endpoint, answers: &[Answer<'_>]) -> HeaderMap {
    let known = || answers.iter().filter_map(|one| one.known);
    let end = |(endpoint, evaluation): &(&Endpoint, Evaluation)| {
        let at = match evaluation.effective {
            Stage::Sunset => endpoint.end_at(),
            _ => endpoint.contract().sunset.at,
        };
        (at.is_none(), at)
    };
    let Some((endpoint, evaluation)) = known().min_by_key(end) else {
        return whole.plain_headers();
    };
    let one_stage = known().all(|(_, other)| other.effective == evaluation.effective);
    let one_transport = known().all(|(_, other)| other.transport == evaluation.transport);
    let mut headers = if one_stage {
        endpoint.headers(evaluation, true)
    } else {
        whole.plain_headers()
    };
    if one_transport {
        let transport = HeaderValue::from_static(evaluation.transport.as_str());
        headers.insert(TRANSPORT, transport);
    } else {
        headers.remove(TRANSPORT);
    }
    headers
}
