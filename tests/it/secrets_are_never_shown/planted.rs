//! What is planted: callers of each kind, their secrets, and whom they reach.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{native::PATIENCE, secure::Trust, within};

pub const INLINE: &str = "planted-inline, which is longer than 32 bytes";
pub const IN_FILE: &str = "planted-in-file, which is longer than 32 bytes";
pub const NEXT_IN_FILE: &str = "planted-too-late";
pub const KEY: &str = "planted-key-of-a-shop";
pub const WRONG_KEY: &str = "planted-key-of-nobody";
pub const COOKIE: &str = "planted-in-a-cookie";
pub const HEADER: &str = "planted-in-a-header";
pub const WRONG_COOKIE: &str = "planted-in-a-wrong-cookie";
pub const HOOKS: &str = "planted-in-the-path-of-hooks";
pub const BROKER: &str = "planted-for-a-broker";

/// The own check of the old back end, which knows one cookie.
pub async fn back_end() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/whoami", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut head, mut part) = (Vec::new(), [0; 1_024]);
                while let Ok(read @ 1..) = stream.read(&mut part).await {
                    head.extend_from_slice(&part[..read]);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&head);
                    let known = text.contains(&format!("SID={COOKIE}")) && text.contains(HEADER);
                    let (status, body) = if known {
                        ("200 OK", "{\"sub\":\"u5\"}")
                    } else {
                        ("401 Unauthorized", "{}")
                    };
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    head.clear();
                }
            });
        }
    });
    url
}

/// A caller of each kind that has a secret, and hooks.
pub fn tables(check_url: &str, secret_file: &str, hash: &str) -> String {
    let jwt = |name: &str, key: &str| {
        format!(
            "[[auth.callers]]\nkind = \"jwt\"\nname = \"{name}\"\nalgorithm = \"HS256\"\ncredential = {{ name = \"X-{name}\" }}\naudiences = [\"{{sub}}\"]\n{key}\n"
        )
    };
    [
        jwt("inline", &format!("secret = \"{INLINE}\"")),
        jwt("filed", &format!("secret_file = \"{secret_file}\"")),
        jwt("varied", "secret_env = \"PLANTED\""),
        format!(
            r#"
[[auth.callers]]
kind = "key"
credential = {{ name = "X-Api-Key" }}
[[auth.callers.keys]]
id = "u4"
hash = "sha256:{hash}"
audiences = ["u4"]

[[auth.callers]]
kind = "forward"
check_url = "{check_url}"
shows = [{{ in = "cookie", name = "SID" }}, {{ name = "X-Legacy" }}]
audiences = ["{{sub}}"]

[broker_hooks]
secret = "{HOOKS}"

[[mqtt.targets]]
name = "local"
url = "embedded://127.0.0.1:0"
websocket = "127.0.0.1:0"

[[mqtt.targets]]
name = "away"
url = "mqtt://gateway:{BROKER}@127.0.0.1:1"
profile = "rabbitmq"
"#
        ),
    ]
    .concat()
}

/// The public listener, over TLS.
pub struct Public {
    pub url: String,
    pub trust: Trust,
}

impl Public {
    /// Status and body of what is answered to a request with these headers.
    pub async fn ask(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let whole = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let mut socket = self.trust.connect(&self.url).await.unwrap();
        let said = socket.until_the_end(whole.as_bytes());
        let said = within(request, PATIENCE, said).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), format!("{head}\n{body}"))
    }
}
