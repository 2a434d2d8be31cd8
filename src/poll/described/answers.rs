//! The answers of an endpoint by status: the body, the one for nothing, 304, and every failure that can
//! happen.

use std::collections::BTreeMap;

use http::{
    StatusCode,
    header::{ETAG, LINK, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{Answer, Whom};
use crate::{
    config::modules::CursorKind,
    identity::Refused,
    poll::{
        contract::Contract,
        failure::Failure,
        heads::{NEXT_POLL_MS, STAGE, TRANSPORT},
        sunset,
    },
};

/// By status.
pub(super) fn answers(contract: &Contract, whom: Whom<'_>, asks: bool) -> BTreeMap<u16, Answer> {
    let mut answers = BTreeMap::new();
    let wording = &contract.wording;
    add(&mut answers, contract, 200, "the answer", true);
    let is_batch = matches!(whom, Whom::Batch { .. });
    if let Some(empty) = wording.empty(false).filter(|_| !is_batch) {
        add(
            &mut answers,
            contract,
            empty.status.as_u16(),
            "nothing is new",
            empty.body.is_some(),
        );
    }
    if (wording.etag || contract.fields.kind == CursorKind::Etag) && !is_batch {
        add(&mut answers, contract, 304, "the client has it", false);
        for answer in answers.values_mut() {
            answer
                .headers
                .insert(ETAG.to_string(), "what the client then has");
        }
    }
    for answer in answers.values_mut() {
        let when = "when to poll again, if that is not as usual";
        answer.headers.insert(NEXT_POLL_MS.to_string(), when);
    }
    for failure in Failure::all() {
        if happens(&failure, contract, whom, asks) {
            add_failure(&mut answers, contract, &failure);
        }
    }
    for answer in answers.values_mut() {
        announce(answer);
    }
    answers
}

/// Whether an endpoint can answer so.
const fn happens(failure: &Failure, contract: &Contract, whom: Whom<'_>, asks: bool) -> bool {
    let is_batch = matches!(whom, Whom::Batch { .. });
    match failure {
        // It answers another method than those that are described.
        Failure::Method => false,
        Failure::Malformed { .. }
        | Failure::BodyTooLarge
        | Failure::BodyMissing
        | Failure::Refused(Refused::TooMany { .. })
        | Failure::UrlTooLong
        | Failure::Panicked => true,
        Failure::Refused(_) => asks,
        Failure::UnknownModule => matches!(whom, Whom::Named(..)),
        // A batch says these in the place of each module.
        Failure::Retired
        | Failure::Brownout { .. }
        | Failure::Blocked
        | Failure::Unavailable
        | Failure::Busy { .. } => !is_batch,
        Failure::TooOld => !is_batch && !contract.state,
        Failure::StateTooLarge => !is_batch && matches!(contract.fields.kind, CursorKind::None),
    }
}

fn add(
    answers: &mut BTreeMap<u16, Answer>,
    contract: &Contract,
    status: u16,
    when: &'static str,
    has_body: bool,
) {
    let answer = answers.entry(status).or_default();
    answer.when.push(when);
    if has_body {
        for content_type in contract.content_types() {
            if !answer.content_types.contains(&content_type) {
                answer.content_types.push(content_type);
            }
        }
    }
    let configured = contract.wording.header_names();
    answer
        .headers
        .extend(configured.map(|name| (name.to_owned(), "as configured")));
}

fn add_failure(answers: &mut BTreeMap<u16, Answer>, contract: &Contract, failure: &Failure) {
    let (status, body) = contract.refuse(failure);
    add(answers, contract, status.as_u16(), failure.occasion(), true);
    let Some(answer) = answers.get_mut(&status.as_u16()) else {
        return;
    };
    if status.as_u16() != 200 && answer.example.is_none() {
        answer.example = String::from_utf8(body).ok();
    }
    let configured = contract.wording.error_header_names();
    answer
        .headers
        .extend(configured.map(|name| (name.to_owned(), "as configured")));
    if status == StatusCode::UNAUTHORIZED {
        let how = "how to say who asks, where `Authorization` is for that";
        answer.headers.insert(WWW_AUTHENTICATE.to_string(), how);
    }
    if failure.retry_after_s(0).is_some() {
        let seconds = "seconds until it is worth to come again";
        answer.headers.insert(RETRY_AFTER.to_string(), seconds);
    }
}

/// What every answer says.
fn announce(answer: &mut Answer) {
    let said = [
        (STAGE, "where the module is on its way"),
        (TRANSPORT, "what this client should use: `poll` or `push`"),
        (sunset::DEPRECATION, "at `sunset`: since when"),
        (sunset::SUNSET, "at `sunset`: when the endpoint ends"),
        (LINK, "at `sunset` and `retired`: where to read about it"),
    ];
    let said = said.map(|(name, what)| (name.to_string(), what));
    answer.headers.extend(said);
}
