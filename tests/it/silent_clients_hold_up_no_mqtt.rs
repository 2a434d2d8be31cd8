//! Whoever opens a port of the embedded broker and says nothing, not enough or too much, loses it; those who come after come in as if nobody else
//! were there.

use std::{net::SocketAddr, time::Duration};

use changeover::{
    config::{broker::Broker, mqtt::Protocol},
    mirror::mqtt::Grant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{letting_in::LettingIn, passes::Entering, within};

const HOUR: Duration = Duration::from_hours(1);
const OWN: &str = "changeover/c/orders/u1";

/// Well below the ten seconds after which the library gives up by itself.
const SOON: Duration = Duration::from_secs(7);

/// So far a client of WebSocket gets that loses its line in its handshake.
const HALF: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgr";

async fn connect(from: [u8; 4], to: SocketAddr, says: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(says).await.unwrap();
    stream
}

async fn is_closed(who: &str, stream: &mut TcpStream) {
    let what = format!("{who} is closed");
    let read = within(&what, SOON, stream.read(&mut [0; 64])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{who} is told {read:?}");
}

fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0; 64]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

async fn enters(broker: &LettingIn, url: &str, client_id: &str) -> Entering {
    let pass = broker.pass("u1", client_id);
    let mut client = Entering::open(url, Protocol::V5, client_id, Some(&pass));
    assert!(
        client.is_let_in().await.is_some(),
        "nobody is let in at {url}"
    );
    client
}

#[tokio::test]
async fn others_come_in_meanwhile() {
    let broker = LettingIn::start(&Broker::default(), HOUR).await;
    let (mqtt, websocket) = (broker.addresses.mqtt, broker.addresses.websocket.unwrap());
    let here = [127, 0, 0, 1];
    let mut silent = Vec::new();
    for says in [b"".as_slice(), HALF, b"\x10"] {
        silent.push(connect(here, websocket, says).await);
        silent.push(connect(here, mqtt, says).await);
    }
    for url in [format!("ws://{websocket}/mqtt"), broker.url.clone()] {
        let mut client = enters(&broker, &url, "one").await;
        assert_eq!(client.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
        client.close().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn who_says_nothing_for_long_is_closed_and_who_is_in_stays() {
    let bounds = Broker {
        connect_timeout_ms: 500,
        ..Broker::default()
    };
    let broker = LettingIn::start(&bounds, HOUR).await;
    let (mqtt, websocket) = (broker.addresses.mqtt, broker.addresses.websocket.unwrap());
    let mut plain = enters(&broker, &broker.url, "one").await;
    let mut within_frames = enters(&broker, &format!("ws://{websocket}/mqtt"), "two").await;
    let here = [127, 0, 0, 1];
    for says in [b"".as_slice(), HALF, b"\x10"] {
        for to in [mqtt, websocket] {
            let who = format!("who says {:?} and no more", says.escape_ascii().to_string());
            is_closed(&who, &mut connect(here, to, says).await).await;
        }
    }
    for client in [&mut plain, &mut within_frames] {
        let granted = client.subscribe(&[OWN]).await;
        assert_eq!(granted, Some(Grant::AtLeastOnce), "who is in stays");
    }
    broker.stop().await;
}

#[tokio::test]
async fn of_too_many_the_oldest_of_the_largest_crowd_goes() {
    let bounds = Broker {
        max_waiting: 4,
        max_waiting_per_address: 2,
        ..Broker::default()
    };
    let broker = LettingIn::start(&bounds, HOUR).await;
    let mut inside = enters(&broker, &broker.url, "one").await;
    let (mqtt, websocket) = (broker.addresses.mqtt, broker.addresses.websocket.unwrap());
    let mut first = connect([127, 0, 0, 2], mqtt, b"").await;
    let other = connect([127, 0, 0, 3], websocket, HALF).await;
    let mut second = connect([127, 0, 0, 2], mqtt, b"").await;
    let third = connect([127, 0, 0, 2], mqtt, b"").await;
    is_closed("the oldest of an address that has too many", &mut first).await;
    assert!(is_open(&other) && is_open(&second) && is_open(&third));
    let fourth = connect([127, 0, 0, 4], mqtt, b"").await;
    let fifth = connect([127, 0, 0, 5], mqtt, b"").await;
    is_closed("the oldest of the largest crowd", &mut second).await;
    assert!([&other, &third, &fourth, &fifth].into_iter().all(is_open));
    // Among all these a client comes in, and one that is in is none of them.
    let late = enters(&broker, &broker.url, "two").await;
    assert_eq!(inside.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
    late.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_stranger_has_no_room_but_for_a_connect() {
    let broker = LettingIn::start(&Broker::default(), HOUR).await;
    let (mqtt, websocket) = (broker.addresses.mqtt, broker.addresses.websocket.unwrap());
    let here = [127, 0, 0, 1];
    // Half a MiB, which a packet of those who are in may have.
    for (who, says) in [
        ("a CONNECT of half a MiB", HALF_A_MIB),
        ("a length without an end", b"\x10\xff\xff\xff\xff"),
        ("a publish", b"\x30\x80\x80\x20"),
        ("a short publish", b"\x30\x40"),
    ] {
        is_closed(who, &mut connect(here, mqtt, says).await).await;
    }
    let mut stream = shaken(here, websocket).await;
    let mut begun = HALF_A_MIB.to_vec();
    for _ in 0..3 {
        begun.resize(32 * 1024, 0);
        // A masked message of these bytes; the mask is 0. The line may be closed before all is said.
        let _closed = stream.write_all(b"\x82\xfe\x80\x00\0\0\0\0").await;
        let _closed = stream.write_all(&begun).await;
        begun.clear();
    }
    is_closed("who says too much in frames", &mut stream).await;
    broker.stop().await;
}

/// A CONNECT that says it is so long.
const HALF_A_MIB: &[u8] = b"\x10\x80\x80\x20";

/// A connection of WebSocket, after its handshake.
async fn shaken(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let asks = b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let mut stream = connect(from, to, asks).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a handshake", SOON, stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
    stream
}

#[tokio::test]
async fn a_connect_may_come_in_pieces() {
    let broker = LettingIn::start(&Broker::default(), HOUR).await;
    let mut stream = connect([127, 0, 0, 1], broker.addresses.mqtt, b"\x10").await;
    for piece in [&b"\x0d"[..], b"\x00\x04MQ", b"TT\x04\x02\x00\x3c\x00\x01a"] {
        tokio::task::yield_now().await;
        stream.write_all(piece).await.unwrap();
    }
    // A stranger without a pass is refused, and told so.
    let mut answer = [0; 4];
    let read = stream.read_exact(&mut answer);
    within("an answer", SOON, read).await.unwrap();
    assert!(
        answer.starts_with(b"\x20\x02\0") && answer[3] != 0,
        "{answer:?}"
    );
    broker.stop().await;
}
