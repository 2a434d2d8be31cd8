//! The `Date` of answers is what the clock says at their moment, forward and back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use changeover::{
    domain::{Clock, Micros},
    http::serving::{Bounds, End, Walls, routed, serve},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A clock that is set by hand.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn set(&self, text: &str) {
        let time = Micros::from(humantime::parse_rfc3339(text).unwrap());
        self.0.store(time.get(), SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(SeqCst))
    }
}

#[tokio::test]
async fn forward_and_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (hand, stop) = (Hand(Arc::default()), CancellationToken::new());
    let service = routed(Router::new().route("/", get(|| async { "here" })));
    let walls = Walls {
        name: "public",
        bounds: Bounds {
            connections: 10,
            per_address: 0,
            idle_timeout: Duration::from_mins(1),
            head_timeout: Duration::from_mins(1),
            head_bytes: 65_536,
            headers: 100,
        },
        proxies: Arc::default(),
        tls: None,
    };
    let end = End {
        stop: stop.clone(),
        cut: CancellationToken::new(),
    };
    let serving = serve(listener, move |_| service.clone(), hand.clone(), walls, end);
    let serving = tokio::spawn(serving);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (time, expected) in [
        ("2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ("2026-01-02T04:04:05Z", "Fri, 02 Jan 2026 04:04:05 GMT"),
        ("2026-01-02T03:04:06Z", "Fri, 02 Jan 2026 03:04:06 GMT"),
        ("2026-01-02T03:04:07Z", "Fri, 02 Jan 2026 03:04:07 GMT"),
    ] {
        hand.set(time);
        let answer = http.get(&url).send().await.unwrap();
        let dates: Vec<_> = answer.headers().get_all("date").iter().collect();
        assert_eq!(dates, [expected]);
    }
    stop.cancel();
    serving.await.unwrap();
}
