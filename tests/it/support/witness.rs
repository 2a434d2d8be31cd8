//! A witness between the mirror and its broker: it passes everything on and writes down which
//! change was handed over and which was acknowledged, before the mirror sees the acknowledgement.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{client_rule::Event, eventually};

/// What it has seen.
#[derive(Debug, Default)]
pub struct Testimony {
    /// Positions acknowledged above `prefix`.
    above: BTreeSet<u64>,
    /// Every position up to here was acknowledged.
    prefix: u64,
    /// Changes handed over, repeats included.
    pub published: u64,
    pub connections: u64,
    /// Changes that were acknowledged within [`LATELY`] before a connection ended: what is younger, a mirror may send again
    /// when its broker has lost its state. Of all connections together.
    pub acknowledged_lately: u64,
    lately: VecDeque<Instant>,
    /// Acknowledgements are not passed on.
    swallows: bool,
    /// What must never happen.
    pub trouble: Vec<String>,
}

/// Above `mirror.replay_on_reconnect` of the tests and the grain of the mirror's memory.
const LATELY: Duration = Duration::from_secs(1);

impl Testimony {
    /// Every position up to here was acknowledged by the broker.
    pub fn acknowledged(&self) -> u64 {
        self.prefix
    }

    /// Changes that were acknowledged within the last moments.
    pub fn lately(&self) -> u64 {
        self.lately.len() as u64
    }

    fn acknowledge(&mut self, position: u64) {
        let now = Instant::now();
        self.lately.push_back(now);
        let is_old = |at: &mut Instant| now.duration_since(*at) > LATELY;
        while self.lately.pop_front_if(is_old).is_some() {}
        self.above.insert(position);
        while self.above.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
        // A repeat of what is below says nothing new.
        self.above = self.above.split_off(&(self.prefix + 1));
    }

    /// On one connection the log is published without a hole, and it begins with nothing left out. Of several mirrors
    /// one may leave out what another one has brought.
    fn publish(&mut self, last: Option<u64>, position: u64) {
        self.published += 1;
        let before = last.unwrap_or_default().max(self.prefix);
        if position > before + 1 {
            let what = format!(
                "{position} was published after {last:?}, with {} acknowledged",
                self.prefix
            );
            self.trouble.push(what);
        }
    }
}

/// A listening witness of one module.
pub struct Witness {
    port: u16,
    testimony: Arc<Mutex<Testimony>>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Stands before the broker on this port of the loopback, and follows `orders`.
    pub async fn before(broker_port: u16) -> Self {
        Self::of("orders", broker_port).await
    }

    /// Stands before the broker on this port of the loopback.
    pub async fn of(module: &'static str, broker_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let testimony = Arc::<Mutex<Testimony>>::default();
        let task = tokio::spawn(listen(
            listener,
            module,
            broker_port,
            Arc::clone(&testimony),
        ));
        Self {
            port,
            testimony,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes no acknowledgement on from now on.
    pub fn swallow_acknowledgements(&self) {
        self.testimony.lock().unwrap().swallows = true;
    }

    /// Looks at what it has seen.
    pub fn look<T>(&self, look: impl FnOnce(&Testimony) -> T) -> T {
        let testimony = self.testimony.lock().unwrap();
        assert!(testimony.trouble.is_empty(), "{:?}", testimony.trouble);
        look(&testimony)
    }

    /// Waits until everything is acknowledged: so many changes.
    pub async fn has_all(&self, total: u64, patience: Duration) {
        eventually("everything is acknowledged", patience, async || {
            self.look(|seen| (seen.acknowledged() == total).then_some(()))
        })
        .await;
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    module: &'static str,
    broker_port: u16,
    testimony: Arc<Mutex<Testimony>>,
) {
    loop {
        let (mirror, _) = listener.accept().await.unwrap();
        let testimony = Arc::clone(&testimony);
        tokio::spawn(async move {
            // A broker that is down shows as a connection that ends.
            if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await {
                let _over = stand_between(mirror, broker, module, &testimony).await;
            }
        });
    }
}

async fn stand_between(
    mirror: TcpStream,
    broker: TcpStream,
    module: &str,
    testimony: &Mutex<Testimony>,
) -> io::Result<()> {
    testimony.lock().unwrap().connections += 1;
    mirror.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_mirror, mut to_mirror) = mirror.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let packets = Mutex::new(HashMap::new());
    let mut last = None;
    let there = pass(from_mirror, &mut to_broker, |packet| {
        if let Some((id, position)) = published(packet, module) {
            testimony.lock().unwrap().publish(last, position);
            last = Some(position);
            packets.lock().unwrap().insert(id, position);
        }
        true
    });
    let back = pass(from_broker, &mut to_mirror, |packet| {
        let position = acknowledged(packet).and_then(|id| packets.lock().unwrap().remove(&id));
        let Some(position) = position else {
            return true;
        };
        let mut testimony = testimony.lock().unwrap();
        if !testimony.swallows {
            testimony.acknowledge(position);
        }
        !testimony.swallows
    });
    // The end of one direction ends both.
    let over = tokio::select! {
        over = there => over,
        over = back => over,
    };
    let mut testimony = testimony.lock().unwrap();
    testimony.acknowledged_lately += testimony.lately.len() as u64;
    over
}

/// A packet: the first byte, and what follows the length.
pub struct Packet {
    pub first: u8,
    pub(super) body: Vec<u8>,
    /// All of it, to be passed on as it came.
    pub whole: Vec<u8>,
}

impl Packet {
    /// Its topic, if it is a publish.
    pub fn topic(&self) -> Option<String> {
        let is_publish = self.first & 0xF0 == 0x30;
        is_publish.then(|| String::from_utf8_lossy(split_text(&self.body).0).into_owned())
    }
}

/// Passes on what is not swallowed.
pub(super) async fn pass(
    from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    mut note: impl FnMut(&Packet) -> bool,
) -> io::Result<()> {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    loop {
        let packet = read_packet(&mut from).await?;
        if note(&packet) {
            to.write_all(&packet.whole).await?;
        }
    }
}

/// The next packet.
pub async fn read_packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let first = from.read_u8().await?;
    let mut whole = vec![first];
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = from.read_u8().await?;
        whole.push(byte);
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    whole.extend_from_slice(&body);
    Ok(Packet { first, body, whole })
}

/// The packet id and the position of a change of the module that is published at QoS 1.
fn published(packet: &Packet, module: &str) -> Option<(u16, u64)> {
    let (id, event) = published_event(packet, module)?;
    Some((id, event.change.position))
}

/// The packet id and the event of a change of the module that is published at QoS 1.
pub(super) fn published_event(packet: &Packet, module: &str) -> Option<(u16, Event)> {
    if packet.first & 0xF6 != 0x32 {
        return None;
    }
    let (topic, rest) = split_text(&packet.body);
    if !String::from_utf8_lossy(topic).contains(&format!("/c/{module}/")) {
        return None;
    }
    let (id, rest) = rest.split_at(2);
    // MQTT 5 has properties before the payload. They are few: their length is one byte, and not that of 123 bytes.
    let payload = match rest[0] {
        b'{' => rest,
        properties => &rest[1 + usize::from(properties)..],
    };
    let id = u16::from_be_bytes(id.try_into().unwrap());
    Some((id, Event::parse(payload)))
}

pub(super) fn split_text(body: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = body.split_at(2);
    rest.split_at(u16::from_be_bytes(length.try_into().unwrap()).into())
}

/// The packet id of a PUBACK that says that the broker has it.
pub(super) fn acknowledged(packet: &Packet) -> Option<u16> {
    if packet.first != 0x40 {
        return None;
    }
    let reason = packet.body.get(2).copied().unwrap_or(0);
    let id = packet.body.first_chunk().map(|id| u16::from_be_bytes(*id));
    id.filter(|_| matches!(reason, 0x00 | 0x10))
}
