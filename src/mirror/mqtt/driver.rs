//! The task that owns an event loop and turns it until the connection ends.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    Signal,
    entry::{Entered, Entry},
};

/// An event loop of either version.
pub(super) trait Wire: Send + 'static {
    /// Says who we are, before the first turn.
    fn log_in(&mut self, user: &str, password: &str);

    /// Turns the loop until it has at least one event, which it keeps. Not cancel-safe.
    fn turn(&mut self) -> impl Future<Output = Result<(), String>> + Send;

    /// Moves the events that the loop has kept into `signals`. True if the connection was left
    /// at our own wish.
    fn drain(&mut self, signals: &mut Vec<Signal>) -> bool;
}

/// Signals are handed on when the loop has nothing more to do, or this many have come together:
/// a task switch per message would cost more than the message.
const BATCH: usize = 256;

/// Enters the broker and turns `wire` until its first error or until nobody listens.
pub(super) async fn drive(
    mut wire: impl Wire,
    entry: Entry,
    signals: mpsc::Sender<Vec<Signal>>,
    patience: Duration,
) {
    let Entered { login, crossing } = match entry.enter().await {
        Ok(entered) => entered,
        Err(reason) => return hand_on(&signals, &mut vec![Signal::Closed(reason)]).await,
    };
    if let Some((user, password)) = login {
        wire.log_in(&user, &password);
    }
    let mut ended = turn_to_the_end(&mut wire, &signals, patience).await;
    // Its end of the connection closes here.
    drop(wire);
    if let Some(crossing) = crossing {
        if let Some(why) = crossing.failure() {
            ended.why = why;
        }
        if ended.at_our_wish {
            crossing.finish(patience).await;
        }
    }
    ended.batch.push(Signal::Closed(ended.why));
    hand_on(&signals, &mut ended.batch).await;
}

/// How a connection ended.
struct Ended {
    why: String,
    at_our_wish: bool,
    /// What nobody was told yet.
    batch: Vec<Signal>,
}

/// The library has no time-out on writing to a socket whose peer stands still; a loop that brings no event for
/// `patience`, which spans several keep-alives, is given up.
async fn turn_to_the_end(
    wire: &mut impl Wire,
    signals: &mpsc::Sender<Vec<Signal>>,
    patience: Duration,
) -> Ended {
    let mut batch = Vec::new();
    let mut at_our_wish = false;
    loop {
        let mut over = turn(wire, signals, &mut batch, patience).await;
        if wire.drain(&mut batch) {
            at_our_wish = true;
            over.get_or_insert_with(|| "disconnected".to_owned());
        }
        if let Some(why) = over {
            return Ended {
                why,
                at_our_wish,
                batch,
            };
        }
        if batch.len() >= BATCH {
            hand_on(signals, &mut batch).await;
        }
    }
}

/// One turn of the loop; says why the connection is over, if it is.
async fn turn(
    wire: &mut impl Wire,
    signals: &mpsc::Sender<Vec<Signal>>,
    batch: &mut Vec<Signal>,
    patience: Duration,
) -> Option<String> {
    let mut turn = pin!(wire.turn());
    let first_look = std::future::poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await;
    let done = if let Poll::Ready(done) = first_look {
        done
    } else {
        hand_on(signals, batch).await;
        let late = |_| Err("the broker has stood still for too long".to_owned());
        timeout(patience, turn).await.unwrap_or_else(late)
    };
    done.err()
}

async fn hand_on(signals: &mpsc::Sender<Vec<Signal>>, batch: &mut Vec<Signal>) {
    if !batch.is_empty() {
        // Nobody listens only when the link was dropped, which also aborts this task.
        let _gone = signals.send(std::mem::take(batch)).await;
    }
}
