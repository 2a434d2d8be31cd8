//! The timer of one connection: how long it may wait for a request, and how long a request's head may take once it has begun.
//!
//! hyper asks for a timer before each request and drops it when the request's head is there. Setting a
//! timer of the runtime takes a lock that all connections share, so here one is set and kept: when it
//! goes off before the deadline of the day, it is set anew.
//!
//! hyper has one span for both, so the stream says here when something was read, which is looked at only where a head has not come
//! in one piece.
//!
//! Invariant: a sleep never ends before its deadline, or before the shorter one of a head that has begun.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time,
};

type Alarm = Pin<Box<time::Sleep>>;

/// A timer for one connection, which sleeps once at a time.
#[derive(Debug, Clone)]
pub(super) struct IdleTimer {
    /// How long a head may take that has begun.
    head: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The alarm, while nobody sleeps.
    spare: Mutex<Option<Alarm>>,
    /// Whether something was read since the last sleep began.
    is_heard: AtomicBool,
}

/// A stream that says when something was read.
#[derive(Debug)]
pub(super) struct Heard<S> {
    stream: S,
    shared: Arc<Shared>,
}

impl IdleTimer {
    /// `head` is how long a head may take that has begun.
    pub(super) fn new(head: Duration) -> Self {
        Self {
            head,
            shared: Arc::default(),
        }
    }

    /// The stream of this timer's connection.
    pub(super) fn hear<S>(&self, stream: S) -> Heard<S> {
        Heard {
            stream,
            shared: Arc::clone(&self.shared),
        }
    }

    fn take(&self) -> Option<Alarm> {
        let mut spare = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spare.take()
    }

    fn keep(&self, alarm: Alarm) {
        let mut spare = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *spare = Some(alarm);
    }
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.shared.is_heard.store(false, Relaxed);
        Box::pin(IdleSleep {
            deadline: deadline.into(),
            has_begun: false,
            alarm: self.take(),
            timer: self.clone(),
        })
    }
}

/// Sleeps until its deadline. Dropped, it leaves its alarm to the next one.
struct IdleSleep {
    deadline: time::Instant,
    /// Whether the head has begun, from which on the deadline is its.
    has_begun: bool,
    alarm: Option<Alarm>,
    timer: IdleTimer,
}

impl Future for IdleSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.timer.shared.is_heard.load(Relaxed) {
            self.has_begun = true;
            self.deadline = self.deadline.min(time::Instant::now() + self.timer.head);
        }
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

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.shared.is_heard.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

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
        let timer = IdleTimer::new(HOUR);
        for (before, what) in [(SOON / 4, "earlier"), (HOUR, "later")] {
            give_up(&timer, before).await;
            assert!(
                timer.shared.spare.lock().unwrap().is_some(),
                "the alarm is kept"
            );
            for _again in 0..2 {
                let begun = Instant::now();
                let slept = time::timeout(HOUR / 60, timer.sleep_until(begun + SOON)).await;
                slept.unwrap_or_else(|_late| panic!("an alarm set for {what} was waited for"));
                assert!(begun.elapsed() >= SOON, "an alarm set for {what} ended it");
            }
        }
    }
    #[tokio::test]
    async fn a_head_that_has_begun_has_its_own_time() {
        let timer = IdleTimer::new(SOON);
        let mut stream = timer.hear(&b"GET"[..]);
        let mut sleep = timer.sleep(HOUR);
        let look = |context: &mut Context<'_>| Poll::Ready(sleep.as_mut().poll(context));
        assert!(poll_fn(look).await.is_pending());
        let begun = Instant::now();
        stream.read_u8().await.unwrap();
        time::timeout(HOUR / 60, sleep).await.unwrap();
        assert!(begun.elapsed() >= SOON);
        give_up(&timer, HOUR).await;
        let idle = time::timeout(2 * SOON, timer.sleep(HOUR)).await;
        idle.expect_err("what was heard before counts no more");
    }
}
