//! The way out of a connection, for clients that hardly read.
//!
//! The system ends a connection whose client takes in nothing (`TCP_USER_TIMEOUT`), and a byte now and
//! then is enough to outwit it. So what waits to be written has to move on.
//!
//! Invariant: while something waits to be written, at least [`LEAST_BYTES`] are taken in each span, or
//! all there is; otherwise the connection ends with an error. A connection that nobody has to wait for
//! has no timer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What a client has to take in, in each span: slow lines manage that by far.
const LEAST_BYTES: usize = 64 * 1024;

/// An answer up to here is copied together: for the system, one part is cheaper than several by more than
/// the copy costs (docs/PERFORMANCE.md, "Making the idle poll cheaper").
const SMALL_BYTES: usize = 1024;

/// A connection that is written to.
#[derive(Debug)]
pub(super) struct Outflow<S> {
    stream: S,
    span: Duration,
    stalled: Option<Stalled>,
}

/// Something waits to be written.
#[derive(Debug)]
struct Stalled {
    over: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Outflow<S> {
    pub(super) const fn new(stream: S, span: Duration) -> Self {
        Self {
            stream,
            span,
            stalled: None,
        }
    }

    /// What came of a write.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(stalled) = &mut self.stalled {
                    stalled.taken += bytes;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.poll_over(cx));
                let why = "the client takes in too little of its answer";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
        }
    }

    /// Ready once too little has been taken in for a whole span.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let stalled = self.stalled.get_or_insert_with(|| Stalled {
                over: Box::pin(sleep(self.span)),
                taken: 0,
            });
            ready!(stalled.over.as_mut().poll(cx));
            if stalled.taken < LEAST_BYTES {
                return Poll::Ready(());
            }
            self.stalled = None;
        }
    }
}

/// All of `bufs` in one piece; `None` if there is nothing to gather, or too much.
fn gathered<'r>(bufs: &[io::IoSlice<'_>], room: &'r mut [u8]) -> Option<&'r [u8]> {
    let bytes = bufs.iter().map(|buf| buf.len()).sum();
    let room = room.get_mut(..bytes).filter(|_| bufs.len() > 1)?;
    let mut rest = &mut *room;
    for buf in bufs {
        let (head, tail) = rest.split_at_mut(buf.len());
        head.copy_from_slice(buf);
        rest = tail;
    }
    Some(room)
}

impl<S: AsyncRead + Unpin> AsyncRead for Outflow<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outflow<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut room = [0; SMALL_BYTES];
        let written = match gathered(bufs, &mut room) {
            Some(all) => Pin::new(&mut self.stream).poll_write(cx, all),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once all is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stalled = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{Instant, interval},
    };

    use super::*;

    const SPAN: Duration = Duration::from_secs(1);

    /// What becomes of writing `bytes` to a client that takes in 1000 of them at every tick.
    async fn written_to(tick: Duration, bytes: usize) -> (io::Result<()>, Duration) {
        let (server, client) = duplex(1_024);
        tokio::spawn(sip(client, tick));
        let mut outflow = Outflow::new(server, SPAN);
        let began = Instant::now();
        let body = vec![0; bytes];
        let written = async {
            outflow.write_all(&body).await?;
            outflow.flush().await
        };
        (written.await, began.elapsed())
    }

    async fn sip(mut client: DuplexStream, tick: Duration) {
        let mut ticks = interval(tick);
        while client.read_exact(&mut [0; 1_000]).await.is_ok() {
            ticks.tick().await;
        }
    }

    #[test]
    fn small_parts_are_gathered_and_nothing_else() {
        let parts = ["head", "", "body"].map(|part| io::IoSlice::new(part.as_bytes()));
        assert_eq!(gathered(&parts, &mut [0; 8]), Some(&b"headbody"[..]));
        assert_eq!(gathered(&parts, &mut [0; 7]), None, "too much");
        assert_eq!(gathered(&parts[..1], &mut [0; 8]), None, "one part");
        assert_eq!(gathered(&[], &mut [0; 8]), None);
    }

    #[tokio::test]
    async fn who_hardly_reads_is_cut_off_after_one_span() {
        let (written, took) = written_to(SPAN / 10, 1_000_000).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took >= SPAN, "{took:?}");
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_everything() {
        // Fifteen times what is asked for, on a machine that has nothing else to do.
        let (written, took) = written_to(SPAN / 1_000, 3_000_000).await;
        written.unwrap();
        assert!(took > 2 * SPAN, "{took:?}");
    }

    #[tokio::test]
    async fn silence_is_nobodys_fault() {
        let (server, mut client) = duplex(2_000);
        let mut outflow = Outflow::new(server, Duration::from_millis(1));
        let mut pauses = interval(Duration::from_millis(20));
        for _ in 0..3 {
            outflow.write_all(&[0; 1_000]).await.unwrap();
            outflow.flush().await.unwrap();
            pauses.tick().await;
            client.read_exact(&mut [0; 1_000]).await.unwrap();
        }
    }
}
