//! A kept connection that asks and reads, and no more: the load generator shares the machine with what
//! it measures.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One kept HTTP/1.1 connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends `GET path`.
    pub async fn ask(&mut self, path: &str) -> anyhow::Result<()> {
        self.ask_with(path, "").await
    }

    /// Sends `GET path` with more lines in its head, each ended.
    pub async fn ask_with(&mut self, path: &str, head: &str) -> anyhow::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Sends JSON to a path, with more lines in its head, each ended.
    pub async fn post(&mut self, path: &str, head: &str, body: &str) -> anyhow::Result<()> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// The body of the answer, which must be 200 and tell its length.
    pub async fn answer(&mut self) -> anyhow::Result<&[u8]> {
        self.received.clear();
        let (head, length) = loop {
            self.more().await?;
            if let Some(head) = find(&self.received, b"\r\n\r\n") {
                break (head + 4, content_length(&self.received[..head])?);
            }
        };
        while self.received.len() < head + length {
            self.more().await?;
        }
        ensure!(self.received.len() == head + length, "more than was asked");
        Ok(&self.received[head..])
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.received.reserve(512);
        let count = self.stream.read_buf(&mut self.received).await?;
        ensure!(count > 0, "the server has closed the connection");
        Ok(())
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        bail!("answered {status}");
    }
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("an answer without a length")?;
    Ok(length.parse()?)
}

/// Where something first stands.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
