//! A broker that is deaf to some publishes: it takes them, and neither delivers nor acknowledges nor refuses them. Everything
//! else passes to a real one.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncWriteExt, BufReader, copy},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::witness::{Packet, read_packet};

/// Whether a publish goes unheard: by its topic, and all of its bytes.
type Unheard = Box<dyn Fn(&str, &[u8]) -> bool + Send + Sync>;

/// A listening one.
pub struct Deaf {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    unheard: Mutex<Unheard>,
    count: AtomicU64,
    connections: AtomicU64,
}

impl Deaf {
    /// Stands before the broker on this port of the loopback.
    pub async fn before(
        broker_port: u16,
        unheard: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner {
            unheard: Mutex::new(Box::new(unheard)),
            count: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(listen(listener, broker_port, Arc::clone(&inner)));
        Self { port, inner, task }
    }

    /// Where an MQTT client finds it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Hears everything from now on.
    pub fn recovers(&self) {
        *self.inner.unheard.lock().unwrap() = Box::new(|_, _| false);
    }

    /// How many publishes it did not hear.
    pub fn unheard(&self) -> u64 {
        self.inner.count.load(Relaxed)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Relaxed)
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, broker_port: u16, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        let inner = Arc::clone(&inner);
        connections.spawn(async move {
            inner.connections.fetch_add(1, Relaxed);
            if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await {
                let _over = stand_between(client, broker, &inner).await;
            }
        });
    }
}

async fn stand_between(client: TcpStream, broker: TcpStream, inner: &Inner) -> io::Result<()> {
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let there = async {
        let mut from_client = BufReader::new(from_client);
        loop {
            let packet = read_packet(&mut from_client).await?;
            if inner.hears(&packet) {
                to_broker.write_all(&packet.whole).await?;
            }
        }
    };
    tokio::select! {
        over = there => over,
        over = copy(&mut from_broker, &mut to_client) => over.map(drop),
    }
}

impl Inner {
    fn hears(&self, packet: &Packet) -> bool {
        let Some(topic) = packet.topic() else {
            return true;
        };
        let unheard = self.unheard.lock().unwrap()(&topic, &packet.whole);
        self.count.fetch_add(unheard.into(), Relaxed);
        !unheard
    }
}
