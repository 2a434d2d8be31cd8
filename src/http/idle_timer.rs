//! The timer of one connection.
//!
//! hyper asks for a timer before each request and drops it when the request's head is there. Setting a
//! timer of the runtime takes a lock that all connections share, so here one is set and kept: when it
//! goes off before the deadline of the day, it is set anew.
//!
//! Invariant: a sleep never ends before its deadline.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time;

type Alarm = Pin<Box<time::Sleep>>;

/// A timer for one connection, which sleeps once at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleTimer {
    /// The alarm, while nobody sleeps.
    spare: Arc<Mutex<Option<Alarm>>>,
}

impl IdleTimer {
    fn take(&self) -> Option<Alarm> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.take()
    }

    fn keep(&self, alarm: Alarm) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = Some(alarm);
    }
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(IdleSleep {
            deadline: deadline.into(),
            alarm: self.take(),
            timer: self.clone(),
        })
    }
}

/// Sleeps until its deadline. Dropped, it leaves its alarm to the next one.
struct IdleSleep {
    deadline: time::Instant,
    alarm: Option<Alarm>,
    timer: IdleTimer,
}

impl Future for IdleSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(alarm.as_mut().poll(context));
            if alarm.deadline() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

impl Sleep for IdleSleep {}

impl Drop for IdleSleep {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            self.timer.keep(alarm);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const HOUR: Duration = Duration::from_hours(1);

    /// Sets an alarm for a while from now, and gives it up.
    async fn give_up(timer: &IdleTimer, after: Duration) {
        let mut sleep = timer.sleep(after);
        let look = |context: &mut Context<'_>| Poll::Ready(sleep.as_mut().poll(context));
        assert!(poll_fn(look).await.is_pending());
    }

    #[tokio::test]
    async fn a_sleep_ends_after_its_deadline_whatever_the_alarm_was_set_for() {
        let timer = IdleTimer::default();
        for (before, what) in [(SOON / 4, "earlier"), (HOUR, "later")] {
            give_up(&timer, before).await;
            assert!(timer.spare.lock().unwrap().is_some(), "the alarm is kept");
            for _again in 0..2 {
                let begun = Instant::now();
                let slept = time::timeout(HOUR / 60, timer.sleep_until(begun + SOON)).await;
                slept.unwrap_or_else(|_late| panic!("an alarm set for {what} was waited for"));
                assert!(begun.elapsed() >= SOON, "an alarm set for {what} ended it");
            }
        }
    }
}
