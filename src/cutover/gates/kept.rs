//! An answer that is dear, kept for a while: whoever looks each second, however many they are, has the database read all its clients now and
//! then, not each time.
//!
//! Invariants: of those who ask at once one fetches the answer, and the others wait for it; it is never older than [`LONGEST`].

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::store::{Error, Result};

/// For how long an answer is good that was there at once.
pub(super) const SHORTEST: Duration = Duration::from_secs(2);
/// For how long the dearest one is.
pub(super) const LONGEST: Duration = Duration::from_secs(30);
/// One that takes its time is good for so many times of that in between: nobody keeps the database busy by looking.
const REST: u32 = 20;
/// For how long nobody asks a database again that did not answer: who has waited for one time-out need not wait for another one.
const UNANSWERED_FOR: Duration = Duration::from_secs(1);

/// The last answer.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<Option<Last<T>>>);

#[derive(Debug)]
struct Last<T> {
    said: Said<T>,
    good_until: Instant,
}

#[derive(Debug, Clone)]
enum Said<T> {
    Answer(T),
    /// The database did not answer, for this reason.
    Nothing(String),
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Kept<T> {
    /// The last answer, or a new one. That the database does not answer is kept for a second, for those who waited to ask it; another
    /// failure comes at once, and is kept for nobody.
    pub(super) async fn get(&self, fetch: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let mut last = self.0.lock().await;
        let begun = Instant::now();
        if let Some(last) = last.as_ref().filter(|last| begun < last.good_until) {
            return match last.said.clone() {
                Said::Answer(answer) => Ok(answer),
                Said::Nothing(why) => Err(Error::Unavailable { why, source: None }),
            };
        }
        let fetched = fetch().await;
        let now = Instant::now();
        let (said, good_for) = match &fetched {
            Ok(answer) => (Some(Said::Answer(answer.clone())), good_for(now - begun)),
            Err(Error::Unavailable { why, .. }) => {
                (Some(Said::Nothing(why.clone())), UNANSWERED_FOR)
            }
            Err(_) => (None, Duration::ZERO),
        };
        let good_until = now + good_for;
        *last = said.map(|said| Last { said, good_until });
        fetched
    }
}

fn good_for(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(SHORTEST, LONGEST)
}

/// The last answers about several.
#[derive(Debug)]
pub(super) struct KeptBy<K, T>(StdMutex<HashMap<K, Arc<Kept<T>>>>);

impl<K, T> Default for KeptBy<K, T> {
    fn default() -> Self {
        Self(StdMutex::new(HashMap::new()))
    }
}

impl<K: Clone + Eq + Hash, T> KeptBy<K, T> {
    /// The one about this. Who asks about how many is bounded by the caller.
    pub(super) fn of(&self, key: &K) -> Arc<Kept<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(key) {
            return Arc::clone(kept);
        }
        Arc::clone(all.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    /// As if its time had passed.
    async fn grow_old<T>(kept: &Kept<T>) {
        kept.0.lock().await.as_mut().unwrap().good_until = Instant::now();
    }

    #[tokio::test]
    async fn those_who_wait_share_the_time_out_of_the_first() {
        let (kept, asked) = (Kept::default(), AtomicU32::new(0));
        let silent = async || {
            asked.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Err::<(), _>(Error::Unavailable {
                why: "over the time-out".to_owned(),
                source: None,
            })
        };
        let answers = tokio::join!(kept.get(silent), kept.get(silent), kept.get(silent));
        for answer in [answers.0, answers.1, answers.2] {
            let said = answer.unwrap_err().to_string();
            assert_eq!(said, "the database does not answer: over the time-out");
        }
        assert_eq!(asked.load(Relaxed), 1);
        grow_old(&kept).await;
        kept.get(async || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn another_failure_is_kept_for_nobody() {
        let kept = Kept::default();
        let refused = async || {
            Err(Error::Refused {
                why: "so".to_owned(),
            })
        };
        kept.get(refused).await.unwrap_err();
        assert_eq!(kept.get(async || Ok(1)).await.unwrap(), 1);
        assert_eq!(kept.get(refused).await.unwrap(), 1, "it is kept");
    }

    #[tokio::test]
    async fn those_who_look_each_second_share_an_answer_of_each_module() {
        let (kept, asked) = (KeptBy::default(), AtomicU32::new(0));
        let ask = async |module: &'static str| {
            let fetch = async || {
                tokio::task::yield_now().await;
                Ok((module, asked.fetch_add(1, Relaxed)))
            };
            kept.of(&module).get(fetch).await.unwrap()
        };
        let at_once = tokio::join!(ask("a"), ask("a"), ask("b"), ask("a"));
        assert_eq!(at_once.0, at_once.1);
        assert_eq!(at_once.0, at_once.3);
        assert_eq!(at_once.2.0, "b");
        for _ in 0..100 {
            assert_eq!(ask("a").await, at_once.0);
        }
        assert_eq!(asked.load(Relaxed), 2);
        grow_old(&kept.of(&"a")).await;
        assert_ne!(ask("a").await, at_once.0, "it has grown old");
        assert_eq!(ask("b").await, at_once.2);
    }

    #[test]
    fn what_is_dear_is_good_for_longer_and_never_for_long() {
        assert_eq!(good_for(Duration::ZERO), SHORTEST);
        assert_eq!(good_for(Duration::from_millis(500)), SHORTEST * 5);
        assert_eq!(good_for(Duration::MAX), LONGEST);
    }
}
