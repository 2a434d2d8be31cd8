//! How long an answer to a caller may take.
//!
//! Invariant: nobody is told anything after the end of what it was recognized by, however long it may wait.

use std::time::Duration;

use super::Who;
use crate::domain::Micros;

impl Who {
    /// As much of a span as the caller is still believed for. `now` is only asked where it matters.
    pub fn bounded(&self, span: Duration, now: impl FnOnce() -> Micros) -> Duration {
        match self.caller().and_then(|caller| caller.expires_at) {
            Some(end) if !span.is_zero() => span.min(end.since(now())),
            _ => span,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::{Caller, testing::caller};

    #[test]
    fn a_span_ends_with_its_caller() {
        let until = |expires_at| {
            Who::Known(Arc::new(Caller {
                expires_at,
                ..caller("u1", &[])
            }))
        };
        let (second, now) = (Duration::from_secs(1), Micros::new(5_000_000));
        let left = |who: &Who| who.bounded(second * 10, || now);
        assert_eq!(left(&Who::Open), second * 10);
        assert_eq!(left(&until(None)), second * 10);
        assert_eq!(left(&until(Some(now.plus(second)))), second);
        assert_eq!(left(&until(Some(now.plus(second * 60)))), second * 10);
        assert_eq!(left(&until(Some(now))), Duration::ZERO);
        assert_eq!(left(&until(Some(now.minus(second)))), Duration::ZERO);
    }
}
