//! Who may cross, and what happens at the ends.

use std::{
    pin::Pin,
    process::Command,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio_rustls::rustls;

use super::*;
use crate::config::mqtt::Protocol;

fn endpoint() -> Endpoint {
    Endpoint::parse("wss://localhost/mqtt", Protocol::V5).unwrap()
}

#[tokio::test]
async fn bytes_cross_both_ways_and_the_end_of_one_side_ends_the_other() {
    let bridge = Bridge::new();
    let name = bridge.name().to_owned();
    let (ours, mut broker) = duplex(64);
    let crossing = bridge.carry(Box::new(ours), endpoint()).unwrap();
    let mut library = UnixStream::connect(&name).await.unwrap();
    let many = vec![7; 100_000];
    let (sent, received) = tokio::join!(library.write_all(&many), async {
        let mut received = vec![0; many.len()];
        broker.read_exact(&mut received).await.map(|_| received)
    });
    sent.unwrap();
    assert_eq!(received.unwrap(), many);
    broker.write_all(b"pong").await.unwrap();
    let mut answer = [0; 4];
    library.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"pong");
    library.write_all(b"bye").await.unwrap();
    drop(library);
    let mut rest = Vec::new();
    broker.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
    drop(broker);
    crossing.finish(Duration::from_secs(30)).await;
}

/// Another process of the same user would otherwise get a connection that the broker believes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_other_process_comes_in() {
    const STRANGER: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect('\\0' + sys.argv[1])
try:
    s.sendall(b'stranger')
    got = s.recv(1)
except (ConnectionResetError, BrokenPipeError):
    got = b''
except TimeoutError:
    got = b'nobody hung up'
sys.exit(len(got))";
    let bridge = Bridge::new();
    let name = bridge.name().to_owned();
    let (ours, mut broker) = duplex(64);
    let crossing = bridge.carry(Box::new(ours), endpoint()).unwrap();
    let hidden = name.trim_start_matches('\0').to_owned();
    let stranger = tokio::task::spawn_blocking(move || {
        let mut python = Command::new("python3");
        python.args(["-c", STRANGER, &hidden]).status().unwrap()
    });
    assert!(stranger.await.unwrap().success(), "the stranger was let in");
    let mut library = UnixStream::connect(&name).await.unwrap();
    library.write_all(b"ours").await.unwrap();
    let mut first = [0; 4];
    broker.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"ours");
    drop(crossing);
    let mut rest = Vec::new();
    broker.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "a dropped bridge closes at once");
}

/// A broker that has refused us: nothing can be written any more, and the reason waits to be read.
struct Refusing {
    written: bool,
}

impl AsyncRead for Refusing {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.written {
            // Whoever writes wakes the same task.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, alert)))
    }
}

impl AsyncWrite for Refusing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn the_reason_is_read_also_when_writing_fails_first() {
    let bridge = Bridge::new();
    let name = bridge.name().to_owned();
    let refusing = Refusing { written: false };
    let crossing = bridge.carry(Box::new(refusing), endpoint()).unwrap();
    let mut library = UnixStream::connect(&name).await.unwrap();
    library.write_all(b"CONNECT").await.unwrap();
    let mut rest = Vec::new();
    // The end comes after the reason was noted; what was not read makes it a reset.
    let _end = library.read_to_end(&mut rest).await;
    let why = crossing.failure().unwrap();
    assert!(why.contains("asks for a client certificate"), "{why}");
}
