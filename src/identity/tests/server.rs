//! A server of HTTP/1.1 that answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is answered to a request's head.
type Answers = Arc<Mutex<Box<dyn FnMut(&str) -> Reply + Send>>>;

pub(super) enum Reply {
    /// A status with its reason, headers each with its line break, and a body.
    Whole(&'static str, String, String),
    /// Nothing, and the connection stays.
    Silence,
}

pub(super) fn json(body: impl AsRef<str>) -> Reply {
    Reply::Whole("200 OK", String::new(), body.as_ref().to_owned())
}

pub(super) fn status(status: &'static str) -> Reply {
    Reply::Whole(status, String::new(), String::new())
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<AtomicUsize>,
    answers: Answers,
    serving: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(answer: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Answers = Arc::new(Mutex::new(Box::new(answer)));
        let asked = Arc::<AtomicUsize>::default();
        let (all, count) = (Arc::clone(&answers), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&all), Arc::clone(&count)));
            }
        });
        Self {
            address,
            asked,
            answers,
            serving,
        }
    }

    pub(super) fn answer(&self, answer: impl FnMut(&str) -> Reply + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answer);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Answers, count: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    loop {
        let mut part = [0; 4_096];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut part).await {
                Ok(read) if read > 0 => head.extend_from_slice(&part[..read]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        head.clear();
        count.fetch_add(1, Ordering::SeqCst);
        let reply = (answers.lock().unwrap())(&text);
        let Reply::Whole(status, headers, body) = reply else {
            continue;
        };
        let length = body.len();
        let body = if text.starts_with("head ") {
            String::new()
        } else {
            body
        };
        let answer =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
