//! A client as bare as can be: one connection, one request at a time, nothing in between.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection.
pub struct Socket(TcpStream);

impl Socket {
    /// Connects to a URL without a path.
    pub async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
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
