//! What a socket may send before its client is let in.
//!
//! Invariant: a stranger has so few bytes kept for him that all who may wait together take little: [`FIRST_PACKET_BYTES`] over TCP, [`STRANGER_BYTES`] over
//! WebSocket. `broker.packet_bytes` is for those who are in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The largest CONNECT. The longest user name of a pass has 8 KiB, the largest last will that the gate takes 4 KiB;
/// what is left is for client id, password and properties.
pub(super) const FIRST_PACKET_BYTES: usize = 32 * 1024;

/// The same with frames around it, and a head of the handshake before it, in which browsers send their cookies.
pub(super) const STRANGER_BYTES: usize = 2 * FIRST_PACKET_BYTES;

/// The first byte of a CONNECT.
const CONNECT: u8 = 0x10;

/// Its type, and the four bytes that its length has at most.
const HEADER_BYTES: usize = 5;

/// How long the rest of a header is waited for at first, and at last: it comes with the first byte from all but those who play for time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// Why a connection ends before the library sees it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("its first packet is no CONNECT")]
    NoConnect,
    #[error("its CONNECT is larger than {FIRST_PACKET_BYTES} bytes")]
    Large,
    #[error("it has ended before a CONNECT")]
    Ended,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Unfit {
    /// What it is counted as; who has left was not refused.
    pub(super) const fn counted(&self) -> Option<&'static str> {
        match self {
            Self::NoConnect => Some("no-connect"),
            Self::Large => Some("large"),
            Self::Ended | Self::Io(_) => None,
        }
    }
}

/// Waits for the header of a CONNECT that is not too large. It is only looked at: the library reads it.
pub(super) async fn announced(stream: &TcpStream) -> Result<(), Unfit> {
    let (mut seen, (mut pause, longest)) = ([0; HEADER_BYTES], PAUSES);
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(Unfit::Ended);
        }
        if let Some(judged) = judge(&seen[..count]) {
            return judged;
        }
        // What was looked at makes the socket ready again at once: more is waited for by the clock.
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// What these first bytes begin; none as long as they do not tell.
fn judge(seen: &[u8]) -> Option<Result<(), Unfit>> {
    let (&first, length) = seen.split_first()?;
    if first != CONNECT {
        return Some(Err(Unfit::NoConnect));
    }
    let mut bytes = 0;
    for (byte, shift) in length.iter().zip([0, 7, 14, 21]) {
        bytes |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let fits = bytes <= FIRST_PACKET_BYTES;
            return Some(if fits { Ok(()) } else { Err(Unfit::Large) });
        }
    }
    // A fifth byte of a length is none.
    (seen.len() >= HEADER_BYTES).then_some(Err(Unfit::Large))
}

/// A stream that gives [`STRANGER_BYTES`] at most, until its client is let in.
pub(super) struct Measured {
    stream: TcpStream,
    admitted: CancellationToken,
    /// None once he is in.
    left: Option<usize>,
}

/// What is read at once meanwhile.
const PART_BYTES: usize = 4 * 1024;

impl Measured {
    pub(super) const fn new(stream: TcpStream, admitted: CancellationToken) -> Self {
        let left = Some(STRANGER_BYTES);
        Self {
            stream,
            admitted,
            left,
        }
    }
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.admitted.is_cancelled() {
            this.left = None;
        }
        let Some(left) = &mut this.left else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        if *left == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                Unfit::Large,
            )));
        }
        let mut part = [0; PART_BYTES];
        let most = PART_BYTES.min(*left).min(buffer.remaining());
        let mut part = ReadBuf::new(&mut part[..most]);
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        *left -= part.filled().len();
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Measured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn a_header_is_judged_as_soon_as_it_tells() {
        let told = |seen: &[u8]| match judge(seen) {
            None => "more",
            Some(Ok(())) => "fits",
            Some(Err(unfit)) => unfit.counted().unwrap(),
        };
        for (seen, expected) in [
            (b"".as_slice(), "more"),
            (b"\x10", "more"),
            (b"\x10\x80\x80", "more"),
            (b"\x10\x0d", "fits"),
            (b"\x10\x0d\x00\x04M", "fits"),
            // 32,768 and one more.
            (b"\x10\x80\x80\x02", "fits"),
            (b"\x10\x81\x80\x02", "large"),
            (b"\x10\xff\xff\xff\x7f", "large"),
            (b"\x10\xff\xff\xff\xff", "large"),
            (b"\x11", "no-connect"),
            (b"\x30\x02", "no-connect"),
            (b"GET /", "no-connect"),
        ] {
            assert_eq!(told(seen), expected, "{seen:?}");
        }
    }

    #[tokio::test]
    async fn a_stranger_has_so_many_bytes_and_who_is_in_has_all() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let admitted = CancellationToken::new();
        let mut here = Measured::new(stream, admitted.clone());
        let mut taken = vec![0; STRANGER_BYTES];
        there.write_all(&taken).await.unwrap();
        here.read_exact(&mut taken).await.unwrap();
        there.write_all(b"more").await.unwrap();
        let error = here.read(&mut taken).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        admitted.cancel();
        here.read_exact(&mut taken[..4]).await.unwrap();
        assert_eq!(&taken[..4], b"more");
    }
}
