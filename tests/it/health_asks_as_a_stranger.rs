//! `changeover health` runs where anybody may listen once the gateway is away: it asks without a token, whatever it is given, and needs none.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output},
    sync::mpsc,
    thread,
};

use crate::support::{folder, native::PATIENCE, token};

/// Answers one request like a gateway that is ready, and hands over its head.
fn listener() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (told, heads) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<_> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let body = "{\"status\":\"ready\"}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
        told.send(head.join("\n").to_ascii_lowercase()).unwrap();
    });
    (at, heads)
}

/// The head of the one request that a command makes, which is entered with a token in each way that there is.
fn asked(command: &[&str], token: &str, by_url: bool) -> (String, Output) {
    let (at, heads) = listener();
    let folder = folder::fresh("health");
    let (file, config) = (folder.join("token"), folder.join("changeover.toml"));
    token::provision(&file);
    fs::write(&file, token).unwrap();
    let shown = file.display();
    let toml = format!("[server]\nprivate = \"{at}\"\n[auth]\nadmin_token_file = \"{shown}\"\n");
    fs::write(&config, toml).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_changeover"));
    run.args(command).arg("--config").arg(&config);
    if by_url {
        run.args(["--url", &format!("http://{at}")]);
        run.env(token::VARIABLE, token);
        run.arg("--token-file").arg(&file);
    }
    let output = run.output().unwrap();
    let head = heads
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("{output:?}"));
    (head, output)
}

#[test]
fn it_shows_no_token_and_needs_none() {
    for token in [token::admin(), "no token at all", ""] {
        for by_url in [false, true] {
            let (head, output) = asked(&["health"], token, by_url);
            assert!(head.starts_with("get /readyz http/1.1"), "{head}");
            assert!(
                !head.contains("authorization") && !head.contains("cookie"),
                "{head}"
            );
            assert!(
                token.is_empty() || !head.contains(&token.to_ascii_lowercase()),
                "{head}"
            );
            assert_eq!(output.status.code(), Some(0), "{token:?}: {output:?}");
            assert_eq!(output.stdout, b"{\"status\":\"ready\"}\n", "{output:?}");
        }
    }
    // Others do show it, by either way: else nothing would have been there to be shown.
    for by_url in [false, true] {
        let (head, _) = asked(&["module", "list"], token::admin(), by_url);
        let shown = format!(
            "authorization: bearer {}",
            token::admin().to_ascii_lowercase()
        );
        assert!(head.contains(&shown), "{head}");
    }
}
