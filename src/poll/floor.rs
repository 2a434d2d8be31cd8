//! A floor under the interval of clients that poll in a tight loop.
//!
//! Invariants: only a request that equals an earlier one in everything that the contract reads, and
//! whose answer was empty, gets that answer again, and only for `floor_ms` after it; so news come
//! so much later at most. A flip of the stage comes through at once. The number of answers
//! remembered is bounded, the least recently used goes first.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::IF_NONE_MATCH};
use lru::LruCache;

use super::{asked::Asked, audiences::Audiences, request::Request};
use crate::{
    cutover::Evaluation,
    domain::{Stage, Transport},
};

/// The empty answers of one endpoint, for a while.
#[derive(Debug)]
pub(super) struct Floor {
    span: Duration,
    given: Mutex<LruCache<Key, Given>>,
}

/// All that an empty answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    asked: Asked,
    audiences: Audiences,
    limit: u32,
    client: Box<str>,
    told: (Stage, Transport),
    /// What the client has, by `If-None-Match`.
    held: Option<HeaderValue>,
}

#[derive(Debug)]
struct Given {
    at: Instant,
    answer: Response<Bytes>,
}

impl Key {
    pub(super) fn new(request: &Request<'_>, headers: &HeaderMap, evaluation: Evaluation) -> Self {
        Self {
            asked: request.asked,
            audiences: request.audiences.clone(),
            limit: request.limit,
            client: request.client_id().into(),
            told: (evaluation.effective, evaluation.transport),
            held: headers.get(IF_NONE_MATCH).cloned(),
        }
    }
}

impl Floor {
    /// `None` if there is none.
    pub(super) fn new(span: Duration, most: usize) -> Option<Self> {
        let most = NonZeroUsize::new(most).filter(|_| !span.is_zero())?;
        let given = Mutex::new(LruCache::new(most));
        Some(Self { span, given })
    }

    /// The answer that the same request got a moment ago, if it was empty.
    pub(super) fn again(&self, key: &Key, now: Instant) -> Option<Response<Bytes>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let found = given.get(key)?;
        if now.saturating_duration_since(found.at) < self.span {
            return Some(found.answer.clone());
        }
        given.pop(key);
        None
    }

    /// Remembers an empty answer.
    pub(super) fn remember(&self, key: Key, answer: &Response<Bytes>, now: Instant) {
        let answer = answer.clone();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.put(key, Given { at: now, answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(client: &str) -> Key {
        Key {
            asked: Asked::BEGINNING,
            audiences: Audiences::everyone(),
            limit: 10,
            client: client.into(),
            told: (Stage::Mirror, Transport::Poll),
            held: None,
        }
    }

    #[test]
    fn an_answer_is_given_again_for_a_while_and_to_the_same_request_only() {
        let (now, span) = (Instant::now(), Duration::from_millis(100));
        let floor = Floor::new(span, 2).unwrap();
        let answer = Response::new(Bytes::from_static(b"[]"));
        floor.remember(asked("a"), &answer, now);
        assert!(floor.again(&asked("a"), now + span / 2).is_some());
        assert!(floor.again(&asked("b"), now).is_none());
        let pushed = Key {
            told: (Stage::Ramp, Transport::Push),
            ..asked("a")
        };
        assert!(floor.again(&pushed, now).is_none());
        assert!(floor.again(&asked("a"), now + span).is_none());
    }

    #[test]
    fn no_more_is_remembered_than_allowed() {
        let now = Instant::now();
        let floor = Floor::new(Duration::from_secs(1), 2).unwrap();
        let answer = Response::new(Bytes::new());
        for client in ["a", "b", "c"] {
            floor.remember(asked(client), &answer, now);
        }
        let held = ["a", "b", "c"].map(|client| floor.again(&asked(client), now).is_some());
        assert_eq!(held, [false, true, true]);
        assert!(Floor::new(Duration::ZERO, 2).is_none());
    }
}
