//! A broker that grants every subscription at QoS 0, whatever was asked for. Everything else passes to a real one.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncWriteExt, BufReader, copy},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::witness::read_packet;

const SUBACK: u8 = 0x90;
/// The packet id stands before the codes.
const ID_BYTES: usize = 2;

/// A listening one.
pub struct Stingy {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    is_generous: AtomicBool,
    lowered: AtomicU64,
}

impl Stingy {
    /// Stands before the broker on this port of the loopback.
    pub async fn before(broker_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::<Inner>::default();
        let task = tokio::spawn(listen(listener, broker_port, Arc::clone(&inner)));
        Self { port, inner, task }
    }

    /// Where an MQTT client finds it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Grants what is asked for from now on.
    pub fn becomes_generous(&self) {
        self.inner.is_generous.store(true, SeqCst);
    }

    /// How many answers it has made less of.
    pub fn lowered(&self) -> u64 {
        self.inner.lowered.load(SeqCst)
    }
}

impl Drop for Stingy {
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
            if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await {
                let _over = stand_between(client, broker, &inner).await;
            }
        });
    }
}

async fn stand_between(client: TcpStream, broker: TcpStream, inner: &Inner) -> io::Result<()> {
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let back = async {
        let mut from_broker = BufReader::new(from_broker);
        loop {
            let mut packet = read_packet(&mut from_broker).await?;
            if packet.first == SUBACK && !inner.is_generous.load(SeqCst) {
                inner.lower(&mut packet.whole, packet.body.len() - ID_BYTES);
            }
            to_client.write_all(&packet.whole).await?;
        }
    };
    tokio::select! {
        over = back => over,
        over = copy(&mut from_client, &mut to_broker) => over.map(drop),
    }
}

impl Inner {
    /// The codes are at the end; on MQTT 5 the length of no properties, 0, stands before them.
    fn lower(&self, packet: &mut [u8], codes: usize) {
        let begin = packet.len() - codes;
        for code in packet[begin..].iter_mut().filter(|code| **code == 1) {
            *code = 0;
            self.lowered.fetch_add(1, SeqCst);
        }
    }
}
