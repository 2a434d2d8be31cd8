//! An answer that is dear, kept for a while: whoever looks each second, however many they are, has the database read all its clients now and
//! then, not each time.
//!
//! Invariants: of those who ask at once one fetches the answer, and the others wait for it, also if that one goes away; it is never older
//! than [`LONGEST`] and what it took to fetch it. Who acts on it has a new one.

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
/// For how long at least nobody who looks asks a database again that did not answer, and for how many times of what it was waited for.
const UNANSWERED_FOR: Duration = Duration::from_secs(1);
const UNANSWERED_REST: u32 = 2;

/// Which answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One to look at.
    Kept,
    /// One to act on.
    New,
}

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

impl<T: Clone + Send + 'static> Kept<T> {
    /// The last answer, or a new one. That the database does not answer is kept for a while too; another failure comes at once, and is kept
    /// for nobody.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        wanted: Wanted,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let kept = Arc::clone(self);
        // In a task of its own: who goes away while it is fetched leaves it to the others.
        let asked = tokio::spawn(async move { kept.find(wanted, fetch).await });
        match asked.await {
            Ok(found) => found,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(Error::Unavailable {
                    why: "the gateway ends".to_owned(),
                    source: None,
                }),
            },
        }
    }

    async fn find<F>(&self, wanted: Wanted, fetch: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut last = self.0.lock().await;
        let begun = Instant::now();
        let good = |last: &&Last<T>| wanted == Wanted::Kept && begun < last.good_until;
        if let Some(last) = last.as_ref().filter(good) {
            return match last.said.clone() {
                Said::Answer(answer) => Ok(answer),
                Said::Nothing(why) => Err(Error::Unavailable { why, source: None }),
            };
        }
        let fetched = fetch().await;
        let now = Instant::now();
        let took = now - begun;
        let (said, good_for) = match &fetched {
            Ok(answer) => (Some(Said::Answer(answer.clone())), good_for(took)),
            Err(Error::Unavailable { why, .. }) => {
                let rest = took.saturating_mul(UNANSWERED_REST);
                let rest = rest.clamp(UNANSWERED_FOR, LONGEST);
                (Some(Said::Nothing(why.clone())), rest)
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

    use tokio::{sync::Semaphore, task::yield_now};

    use super::*;

    /// As if its time had passed.
    async fn grow_old<T>(kept: &Kept<T>) {
        kept.0.lock().await.as_mut().unwrap().good_until = Instant::now();
    }

    fn silent() -> Error {
        Error::Unavailable {
            why: "over the time-out".to_owned(),
            source: None,
        }
    }

    #[tokio::test]
    async fn those_who_wait_share_the_time_out_of_the_first() {
        let (kept, asked) = (Arc::new(Kept::default()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            kept.get(Wanted::Kept, async move || {
                asked.fetch_add(1, Relaxed);
                yield_now().await;
                Err::<(), _>(silent())
            })
        };
        let answers = tokio::join!(ask(), ask(), ask());
        for answer in [answers.0, answers.1, answers.2] {
            let said = answer.unwrap_err().to_string();
            assert_eq!(said, "the database does not answer: over the time-out");
        }
        assert_eq!(asked.load(Relaxed), 1);
        grow_old(&kept).await;
        kept.get(Wanted::Kept, async || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_answer_to_the_others() {
        let (kept, asked) = (Arc::new(Kept::default()), Arc::new(AtomicU32::new(0)));
        let answers = Arc::new(Semaphore::new(0));
        let ask = || {
            let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
            kept.get(Wanted::Kept, async move || {
                asked.fetch_add(1, Relaxed);
                let _answered = answers.acquire().await;
                Ok(7)
            })
        };
        let mut first = Box::pin(ask());
        while asked.load(Relaxed) == 0 {
            tokio::select! {
                biased;
                _ = &mut first => unreachable!("nothing is answered"),
                () = yield_now() => {}
            }
        }
        drop(first);
        answers.add_permits(1);
        assert_eq!(ask().await.unwrap(), 7);
        assert_eq!(asked.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn who_acts_has_a_new_answer_which_the_others_look_at() {
        let kept = Arc::new(Kept::default());
        let ask = |wanted, answer| kept.get(wanted, async move || Ok(answer));
        assert_eq!(ask(Wanted::Kept, 1).await.unwrap(), 1);
        assert_eq!(ask(Wanted::Kept, 2).await.unwrap(), 1);
        assert_eq!(ask(Wanted::New, 3).await.unwrap(), 3);
        assert_eq!(ask(Wanted::Kept, 4).await.unwrap(), 3);
        let failed = kept.get(Wanted::New, async || Err(silent()));
        failed.await.unwrap_err();
        ask(Wanted::Kept, 5).await.unwrap_err();
        assert_eq!(ask(Wanted::New, 6).await.unwrap(), 6, "who acts asks anew");
    }

    #[tokio::test]
    async fn another_failure_is_kept_for_nobody() {
        let kept = Arc::new(Kept::default());
        let refused = async || {
            Err(Error::Refused {
                why: "so".to_owned(),
            })
        };
        kept.get(Wanted::Kept, refused).await.unwrap_err();
        let answered = kept.get(Wanted::Kept, async || Ok(1)).await;
        assert_eq!(answered.unwrap(), 1);
        let answered = kept.get(Wanted::Kept, refused).await;
        assert_eq!(answered.unwrap(), 1, "it is kept");
    }

    #[tokio::test]
    async fn those_who_look_each_second_share_an_answer_of_each_module() {
        let (kept, asked) = (KeptBy::default(), Arc::new(AtomicU32::new(0)));
        let ask = async |module: &'static str| {
            let asked = Arc::clone(&asked);
            let fetch = async move || {
                yield_now().await;
                Ok((module, asked.fetch_add(1, Relaxed)))
            };
            kept.of(&module).get(Wanted::Kept, fetch).await.unwrap()
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
