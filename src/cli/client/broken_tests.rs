//! Each failure at a real socket, and what is said of it.

use std::{io::Write as _, net::TcpListener, sync::Arc, thread, time::Duration};

use reqwest::Method;
use tokio_rustls::rustls::InvalidMessage;

use super::*;
use crate::{
    cli::client::Wire, config::target_link::TlsFiles, mirror::mqtt::client_config as tls_config,
};

/// What is said of a request to this URL.
async fn asked(url: &str) -> (BrokenAt, String) {
    let url = Url::parse(url).unwrap();
    let tls =
        (url.scheme() == "https").then(|| Arc::new(tls_config(&TlsFiles::default()).unwrap()));
    let wire = Wire::new(None, tls).unwrap();
    let request = wire.request(Method::GET, url.clone());
    let broken = wire.send(request).await.expect_err("nobody answers");
    (broken.kind, broken.trouble(&url, "from --url").to_string())
}

/// A server that says this to whoever connects, and closes.
fn saying(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(words).unwrap();
        // It reads what is sent, or the end would be a reset.
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        drop(std::io::copy(&mut socket, &mut std::io::sink()));
    });
    port
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for scheme in ["http", "https"] {
        let (kind, told) = asked(&format!("{scheme}://127.0.0.1:{port}")).await;
        assert_eq!(kind, BrokenAt::Refused, "{told}");
        let expected = format!(
            "nothing answers at {scheme}://127.0.0.1:{port}/ (from --url): is `changeover serve` running?"
        );
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn the_host_has_no_address() {
    // No name has a part of this length, which resolvers know without asking anybody.
    let name = "a".repeat(64);
    for scheme in ["http", "https"] {
        let (kind, told) = asked(&format!("{scheme}://{name}.invalid:8081")).await;
        assert_eq!(kind, BrokenAt::Name, "{told}");
        assert!(told.contains("is it written right"), "{told}");
    }
}

#[tokio::test]
async fn the_other_protocol_is_spoken() {
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    let (kind, told) = asked(&format!("https://127.0.0.1:{}", saying(http))).await;
    assert_eq!(kind, BrokenAt::NoTls, "{told}");
    assert!(told.ends_with("its URL begins with http://"), "{told}");
    // An alert of TLS 1.2, as who gets a request in place of a handshake says it.
    let alert = b"\x15\x03\x03\x00\x02\x02\x32";
    let (kind, told) = asked(&format!("http://127.0.0.1:{}", saying(alert))).await;
    assert_eq!(kind, BrokenAt::NoHttp, "{told}");
    assert!(told.ends_with("its URL begins with https://"), "{told}");
}

#[tokio::test]
async fn who_closes_has_broken_off() {
    let (kind, told) = asked(&format!("http://127.0.0.1:{}", saying(b""))).await;
    assert_eq!(kind, BrokenAt::Answer, "{told}");
    let (kind, told) = asked(&format!("https://127.0.0.1:{}", saying(b""))).await;
    assert_eq!(kind, BrokenAt::Tls, "{told}");
}

#[test]
fn what_tls_says_is_found_below_whatever_wraps_it() {
    let told = |error: rustls::Error| {
        let inner = io::Error::new(io::ErrorKind::InvalidData, error);
        Broken::tls(io::Error::other(inner)).kind
    };
    for (error, kind) in [
        (CertificateError::UnknownIssuer, BrokenAt::Untrusted),
        (CertificateError::BadSignature, BrokenAt::Untrusted),
        (CertificateError::NotValidForName, BrokenAt::OtherName),
        (CertificateError::Expired, BrokenAt::OtherTime),
        (CertificateError::NotValidYet, BrokenAt::OtherTime),
    ] {
        assert_eq!(told(rustls::Error::InvalidCertificate(error)), kind);
    }
    let message = InvalidMessage::InvalidContentType;
    assert_eq!(
        told(rustls::Error::InvalidMessage(message)),
        BrokenAt::NoTls
    );
    for (alert, kind) in [
        (AlertDescription::CertificateRequired, BrokenAt::NotLetIn),
        (AlertDescription::UnknownCA, BrokenAt::NotLetIn),
        (AlertDescription::ProtocolVersion, BrokenAt::Tls),
    ] {
        assert_eq!(told(rustls::Error::AlertReceived(alert)), kind);
    }
}

#[test]
fn a_socket_that_fails_says_how() {
    let at = |kind: io::ErrorKind| of_connecting(&io::Error::from(kind));
    assert_eq!(at(io::ErrorKind::NetworkUnreachable), BrokenAt::Way);
    assert_eq!(at(io::ErrorKind::TimedOut), BrokenAt::Accepting);
    // EACCES, as some firewalls have it.
    let other = of_connecting(&io::Error::from_raw_os_error(13));
    assert_eq!(other, BrokenAt::Other);
}

#[tokio::test]
async fn who_is_late_is_told_by_what_was_waited_for() {
    let late = async || {
        let never = std::future::pending::<()>();
        tokio::time::timeout(Duration::ZERO, never)
            .await
            .unwrap_err()
    };
    let base = Url::parse("http://gateway").unwrap();
    let told = |broken: Broken| broken.trouble(&base, "").to_string();
    let accepting = told(Broken::accepting(late().await));
    assert!(accepting.contains("firewall"), "{accepting}");
    let answering = told(Broken::answering(late().await));
    assert!(
        answering.starts_with("no answer in time from http://gateway/: "),
        "{answering}"
    );
}
