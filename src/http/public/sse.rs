//! A stream of server-sent events: changes as `data`, and after each where to go on as `control`
//! (Durable Streams, section 5.8).
//!
//! Invariants: nothing is read ahead of a client that does not take in what it has: the events are
//! made while the connection asks for them, so one stream holds one page and one event;
//! an event and its control go out in one piece.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, http::HeaderName};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, future::BoxFuture};
use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::json::{push, push_json};
use crate::{
    domain::Cursor,
    mirror::event,
    native::{Channels, Followed, Page, Reads, Tempo},
    telemetry::{
        metric,
        usage::{Meter, statements},
    },
};

/// A larger event is split: clients hold one whole.
const EVENT_BYTES: usize = 64 * 1024;

/// What keeps a quiet connection alive.
pub(super) const COMMENT: &[u8] = b":\n\n";

/// nginx would hold the events back otherwise.
pub(super) const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream that is about to begin.
pub(super) struct Begun {
    pub(super) reads: Arc<Reads>,
    pub(super) channels: Channels,
    pub(super) first: Page,
    pub(super) tempo: Tempo,
    /// The client's place; free once the stream has ended.
    pub(super) place: OwnedSemaphorePermit,
    /// Where it is counted what the stream costs.
    pub(super) meter: Arc<Meter>,
}

/// The body of the answer. `stream_cursor` gives the cursor of each control event.
pub(super) fn body(begun: Begun, stream_cursor: impl FnMut() -> u64 + Send + 'static) -> Body {
    let (events, made) = mpsc::channel(1);
    Body::from_stream(Events {
        maker: Some(make(begun, stream_cursor, events).boxed()),
        made,
    })
}

/// Makes one event after the other, as fast as they are taken.
async fn make(
    begun: Begun,
    mut stream_cursor: impl FnMut() -> u64 + Send,
    events: mpsc::Sender<Bytes>,
) {
    let (_place, _open) = (begun.place, Open::new());
    let Ok(mut following) = begun
        .reads
        .follow(&begun.channels, begun.first, begun.tempo)
    else {
        return;
    };
    let reads = &begun.meter.push.reads;
    loop {
        let (followed, statements) = statements::of(following.next()).await;
        reads.add_statements(statements);
        let Some(followed) = followed else {
            return;
        };
        match followed {
            Followed::Silence => {
                if events.send(Bytes::from_static(COMMENT)).await.is_err() {
                    return;
                }
            }
            Followed::Page(page) => {
                let mut writer = Writer::new(&begun.channels, &page);
                while let Some(event) = writer.next(&mut stream_cursor) {
                    reads.news.add_bytes(event.len());
                    // Each event says where to go on, so any may be the last.
                    if events.send(event).await.is_err() || following.is_over() {
                        return;
                    }
                }
            }
        }
    }
}

/// A stream that is counted while it is open.
pub(super) struct Open(Gauge);

impl Open {
    pub(super) fn new() -> Self {
        let open = metrics::gauge!(metric::STREAMS);
        open.increment(1);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The events of one page.
struct Writer<'a> {
    channels: &'a Channels,
    page: &'a Page,
    written: usize,
    done: bool,
}

impl<'a> Writer<'a> {
    const fn new(channels: &'a Channels, page: &'a Page) -> Self {
        Self {
            channels,
            page,
            written: 0,
            done: false,
        }
    }

    /// The next event with its control; a control alone if the page holds no change.
    fn next(&mut self, stream_cursor: &mut impl FnMut() -> u64) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = BytesMut::new();
        let last = self.push_data(&mut out);
        self.done = self.written == self.page.changes.len();
        let (cursor, up_to_date) = match last {
            Some(last) if !self.done => (last, false),
            _ => (self.page.cursor, self.page.is_up_to_date()),
        };
        push_control(&mut out, cursor, stream_cursor(), up_to_date);
        Some(out.freeze())
    }

    /// Appends changes until the event is large enough. Returns the cursor after the last.
    fn push_data(&mut self, out: &mut BytesMut) -> Option<Cursor> {
        let mut scratch = BytesMut::new();
        let mut last = None;
        for change in &self.page.changes[self.written..] {
            scratch.clear();
            event::encode(self.channels.module(), change, &mut scratch);
            if last.is_none() {
                out.put_slice(b"event: data\ndata: [\n");
            } else if out.len() + scratch.len() > EVENT_BYTES {
                break;
            } else {
                out.put_slice(b",\n");
            }
            push_lines(out, &scratch);
            self.written += 1;
            last = Some(change.cursor());
        }
        if last.is_some() {
            out.put_slice(b"\ndata: ]\n\n");
        }
        last
    }
}

/// A value's own line breaks stand between its tokens, where JSON takes any; each begins another line of the event.
fn push_lines(out: &mut BytesMut, json: &[u8]) {
    let lines = json.split(|byte| matches!(byte, b'\n' | b'\r'));
    for (n, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        if n > 0 {
            out.put_u8(b'\n');
        }
        out.put_slice(b"data: ");
        out.put_slice(line);
    }
}

fn push_control(out: &mut BytesMut, cursor: Cursor, stream_cursor: u64, up_to_date: bool) {
    out.put_slice(b"event: control\ndata: {\"streamNextOffset\":");
    push_json(out, &cursor);
    push!(out, ",\"streamCursor\":\"{stream_cursor}\"");
    if up_to_date {
        out.put_slice(b",\"upToDate\":true");
    }
    out.put_slice(b"}\n\n");
}

/// Runs the maker while the connection asks for more, and not otherwise.
struct Events {
    maker: Option<BoxFuture<'static, ()>>,
    made: mpsc::Receiver<Bytes>,
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(event)) = self.made.poll_recv(cx) {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(maker) = &mut self.maker
            && maker.as_mut().poll(cx).is_ready()
        {
            self.maker = None;
        }
        self.made.poll_recv(cx).map(|event| event.map(Ok))
    }
}
