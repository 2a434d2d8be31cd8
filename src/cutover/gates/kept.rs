//! An answer that is dear, kept for a while.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// The last answer. Of those who ask at once one fetches it, and the others wait for it.
#[derive(Debug)]
pub(super) struct Kept<T> {
    good_for: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Kept<T> {
    pub(super) fn new(good_for: Duration) -> Self {
        Self {
            good_for,
            last: Mutex::new(None),
        }
    }

    /// The last answer, or a new one; a failure is kept for nobody.
    pub(super) async fn get<E>(&self, fetch: impl AsyncFnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < self.good_for
        {
            return Ok(answer.clone());
        }
        let answer = fetch().await?;
        *last = Some((Instant::now(), answer.clone()));
        Ok(answer)
    }
}
