//! An answer that is dear, kept for a while.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::store::{Error, Result};

/// The last answer. Of those who ask at once one fetches it, and the others wait for it.
#[derive(Debug)]
pub(super) struct Kept<T> {
    good_for: Duration,
    last: Mutex<Option<(Instant, Last<T>)>>,
}

#[derive(Debug)]
enum Last<T> {
    Answer(T),
    /// The database did not answer, for this reason.
    None(String),
}

/// For how long nobody asks a database again that did not answer: who has waited for one time-out need not wait for another one.
const UNANSWERED_FOR: Duration = Duration::from_secs(1);

impl<T: Clone> Kept<T> {
    pub(super) fn new(good_for: Duration) -> Self {
        Self {
            good_for,
            last: Mutex::new(None),
        }
    }

    /// The last answer, or a new one. That the database does not answer is kept for a second, for those who waited to ask it; another
    /// failure comes at once, and is kept for nobody.
    pub(super) async fn get(&self, fetch: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, Last::Answer(answer))) if at.elapsed() < self.good_for => {
                return Ok(answer.clone());
            }
            Some((at, Last::None(why))) if at.elapsed() < UNANSWERED_FOR => {
                return Err(Error::Unavailable {
                    why: why.clone(),
                    source: None,
                });
            }
            _ => {}
        }
        let fetched = fetch().await;
        let news = match &fetched {
            Ok(answer) => Some(Last::Answer(answer.clone())),
            Err(Error::Unavailable { why, .. }) => Some(Last::None(why.clone())),
            Err(_) => None,
        };
        *last = news.map(|news| (Instant::now(), news));
        fetched
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_share_the_time_out_of_the_first() {
        let (kept, asked) = (Kept::new(Duration::ZERO), AtomicU32::new(0));
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
        let long_ago = Instant::now().checked_sub(UNANSWERED_FOR).unwrap();
        kept.last.lock().await.as_mut().unwrap().0 = long_ago;
        kept.get(async || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn another_failure_is_kept_for_nobody() {
        let kept = Kept::new(Duration::from_mins(1));
        let refused = async || {
            Err(Error::Refused {
                why: "so".to_owned(),
            })
        };
        kept.get(refused).await.unwrap_err();
        assert_eq!(kept.get(async || Ok(1)).await.unwrap(), 1);
        assert_eq!(kept.get(refused).await.unwrap(), 1, "it is kept");
    }
}
