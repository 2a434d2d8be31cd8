//! A witness between a mirror with several connections and its broker. It follows one module, knows the channels, and
//! can cut a connection.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    client_rule::Held,
    witness::{Packet, acknowledged, pass, published_event, split_text},
};

/// What it has seen.
#[derive(Debug, Default)]
pub struct Account {
    /// Positions acknowledged above `prefix`.
    above: BTreeSet<u64>,
    prefix: u64,
    /// Changes handed over, repeats included.
    pub published: u64,
    /// By client id, how many connections there were.
    pub connections: BTreeMap<String, u64>,
    /// Over which client id each channel went first.
    lines: HashMap<String, String>,
    standing: Vec<(String, CancellationToken)>,
    pub cuts: u64,
    /// The most publishes that were without acknowledgement at once on a connection, retained messages included.
    pub most_outstanding: usize,
    trouble: Vec<String>,
}

impl Account {
    /// Every position up to here was acknowledged by the broker.
    pub fn acknowledged(&self) -> u64 {
        self.prefix
    }

    /// How many channels went over each client id.
    pub fn spread(&self) -> BTreeMap<&str, u64> {
        let mut spread = BTreeMap::new();
        for line in self.lines.values() {
            *spread.entry(line.as_str()).or_default() += 1;
        }
        spread
    }

    fn has(&self, position: u64) -> bool {
        position <= self.prefix || self.above.contains(&position)
    }

    fn acknowledge(&mut self, position: u64) {
        if position > self.prefix {
            self.above.insert(position);
        }
        while self.above.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
    }

    /// A channel keeps to its line, and a change goes only after the one before it in its channel was acknowledged, or
    /// has gone before it on this very connection.
    fn publish(&mut self, line: &str, gone: &BTreeSet<u64>, change: &Held) {
        self.published += 1;
        let audience = change.audience.clone();
        let first = self
            .lines
            .entry(audience)
            .or_insert_with(|| line.to_owned());
        if first != line {
            let what = format!("{change:?} went over {line}, its channel before over {first}");
            self.trouble.push(what);
        }
        if !self.has(change.previous) && !gone.contains(&change.previous) {
            let what = format!("{change:?} went before the change that it follows");
            self.trouble.push(what);
        }
    }
}

/// A listening witness.
pub struct ChannelWitness {
    port: u16,
    account: Arc<Mutex<Account>>,
    task: JoinHandle<()>,
}

impl ChannelWitness {
    /// Stands before the broker on this port of the loopback.
    pub async fn before(broker_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let account = Arc::<Mutex<Account>>::default();
        let task = tokio::spawn(listen(listener, broker_port, Arc::clone(&account)));
        Self {
            port,
            account,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Looks at what it has seen.
    pub fn look<T>(&self, look: impl FnOnce(&Account) -> T) -> T {
        let account = self.account.lock().unwrap();
        assert!(account.trouble.is_empty(), "{:#?}", account.trouble);
        look(&account)
    }

    /// The client ids that are connected.
    pub fn standing(&self) -> Vec<String> {
        let account = self.account.lock().unwrap();
        let standing = account.standing.iter();
        let standing = standing.filter(|(_, cut)| !cut.is_cancelled());
        standing.map(|(line, _)| line.clone()).collect()
    }

    /// Cuts the connection of a client id, both ways at once. False if it has none.
    pub fn cut(&self, client_id: &str) -> bool {
        let mut account = self.account.lock().unwrap();
        let mut standing = account.standing.iter();
        let Some((_, cut)) = standing.find(|(line, cut)| line == client_id && !cut.is_cancelled())
        else {
            return false;
        };
        cut.cancel();
        account.cuts += 1;
        true
    }
}

impl Drop for ChannelWitness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, broker_port: u16, account: Arc<Mutex<Account>>) {
    loop {
        let (mirror, _) = listener.accept().await.unwrap();
        let account = Arc::clone(&account);
        tokio::spawn(async move {
            // A broker that is down shows as a connection that ends.
            if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await {
                let cut = CancellationToken::new();
                tokio::select! {
                    _over = stand_between(mirror, broker, &account, &cut) => {}
                    () = cut.cancelled() => {}
                }
                cut.cancel();
                let mut account = account.lock().unwrap();
                account.standing.retain(|(_, cut)| !cut.is_cancelled());
            }
        });
    }
}

async fn stand_between(
    mirror: TcpStream,
    broker: TcpStream,
    account: &Mutex<Account>,
    cut: &CancellationToken,
) -> io::Result<()> {
    mirror.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_mirror, mut to_mirror) = mirror.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let packets = Mutex::new(HashMap::new());
    let outstanding = Mutex::new(BTreeSet::new());
    let mut line = String::new();
    let mut gone = BTreeSet::new();
    let there = pass(from_mirror, &mut to_broker, |packet| {
        let mut account = account.lock().unwrap();
        if packet.first == 0x10 {
            line = client_id(packet);
            *account.connections.entry(line.clone()).or_default() += 1;
            account.standing.push((line.clone(), cut.clone()));
        }
        if let Some(id) = publish_id(packet) {
            let mut outstanding = outstanding.lock().unwrap();
            outstanding.insert(id);
            account.most_outstanding = account.most_outstanding.max(outstanding.len());
        }
        if let Some((id, event)) = published_event(packet, "orders") {
            account.publish(&line, &gone, &event.change);
            gone.insert(event.change.position);
            let mut packets = packets.lock().unwrap();
            packets.insert(id, event.change.position);
        }
        true
    });
    let back = pass(from_broker, &mut to_mirror, |packet| {
        let id = acknowledged(packet);
        if let Some(id) = id {
            outstanding.lock().unwrap().remove(&id);
        }
        let position = id.and_then(|id| packets.lock().unwrap().remove(&id));
        if let Some(position) = position {
            account.lock().unwrap().acknowledge(position);
        }
        true
    });
    // The end of one direction ends both.
    tokio::select! {
        over = there => over,
        over = back => over,
    }
}

/// The packet id of any publish at QoS 1.
fn publish_id(packet: &Packet) -> Option<u16> {
    if packet.first & 0xF6 != 0x32 {
        return None;
    }
    let (_, rest) = split_text(&packet.body);
    rest.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// The client id in a CONNECT packet.
fn client_id(packet: &Packet) -> String {
    let (_, rest) = split_text(&packet.body);
    let (level, rest) = (rest[0], &rest[4..]);
    // MQTT 5 has properties in between; they are few, so their length is one byte.
    let properties = if level == 5 {
        1 + usize::from(rest[0])
    } else {
        0
    };
    let (id, _) = split_text(&rest[properties..]);
    String::from_utf8(id.to_vec()).unwrap()
}
