//! A client as bare as can be: one connection, one request at a time, nothing in between.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// One connection.
pub struct Socket<S = TcpStream>(pub S);

/// Where a URL without a path is.
pub fn address(url: &str) -> SocketAddr {
    let (_, address) = url.split_once("://").unwrap();
    address.parse().unwrap()
}

impl Socket {
    /// Connects to a URL without a path.
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(address(url)).await.unwrap())
    }

    /// The same from an address of the loopback network.
    pub async fn connect_from(from: &str, url: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let from = SocketAddr::new(from.parse().unwrap(), 0);
        socket.bind(from).unwrap();
        Self(socket.connect(address(url)).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Sends bytes, which may fail, and returns everything that comes until the other side ends the connection.
    pub async fn until_the_end(&mut self, bytes: &[u8]) -> String {
        let _refused = self.0.write_all(bytes).await;
        let mut all = Vec::new();
        let _reset = self.0.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Sends bytes as they are, if the other side still takes them.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Sends a `GET` and does not wait for its answer.
    pub async fn send(&mut self, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Returns when the other side has ended the connection, which must not say anything before.
    pub async fn end(&mut self) {
        let read = self.0.read(&mut [0; 64]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?} bytes came");
    }

    /// Head and body of the next answer.
    pub async fn answer(&mut self) -> (String, String) {
        let mut bytes = Vec::with_capacity(1_024);
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() == length(head)
            {
                return (head.to_owned(), body.to_owned());
            }
            let read = self.0.read_buf(&mut bytes).await.unwrap();
            assert!(read > 0, "the connection ended: {bytes:?}");
        }
    }
}

fn length(head: &str) -> usize {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.expect("each answer has a length").parse().unwrap()
}
