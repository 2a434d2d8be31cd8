//! A bad network between a client and a server of the loopback: it cuts and resets connections, swallows what passes while
//! the sockets stay open, delays it, and reads slowly.
//!
//! A connection of which something was swallowed never carries anything that way again: what TCP has not delivered, it never
//! skips.

use std::{
    io,
    ops::Range,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    Pass,
    /// Taken and thrown away.
    Swallow,
    /// Left where they are, so that the sender's buffers fill up.
    Hold,
    Delay(Duration),
    /// Taken at this many bytes a second.
    Slow(u32),
}

/// What the network is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    pub to_server: Way,
    pub to_client: Way,
    /// Connections that are opened end with a reset, each after a number of bytes of both directions that is drawn from here.
    pub resets_after: Option<Range<u64>>,
}

impl Weather {
    pub const FAIR: Self = Self::both(Way::Pass);

    /// The same in both directions.
    pub const fn both(way: Way) -> Self {
        Self {
            to_server: way,
            to_client: way,
            resets_after: None,
        }
    }
}

/// What happened so far.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    standing: AtomicU64,
    cut: AtomicU64,
    reset: AtomicU64,
    swallowed_bytes: AtomicU64,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    ByPeers,
    Cut,
    Reset,
}

/// What all connections look at.
#[derive(Debug, Clone)]
struct Sky {
    weather: Weather,
    /// Grow when the connections that stand are to be ended.
    cuts: u64,
    resets: u64,
}

/// A listening proxy. Its connections end with it.
pub struct Proxy {
    port: u16,
    sky: Arc<watch::Sender<Sky>>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Stands before the server on this port of the loopback. The weather is fair.
    pub async fn before(server_port: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sky = Arc::new(watch::Sender::new(Sky {
            weather: Weather::FAIR,
            cuts: 0,
            resets: 0,
        }));
        let counts = Arc::<Counts>::default();
        let door = Door {
            listener,
            server_port,
            sky: Arc::clone(&sky),
            counts: Arc::clone(&counts),
            rng: StdRng::seed_from_u64(seed),
        };
        let task = tokio::spawn(door.serve());
        Self {
            port,
            sky,
            counts,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where an MQTT client finds it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Changes the weather, for the connections that stand too. Resets come to those that are opened from now on.
    pub fn set(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
    }

    /// Closes what stands, in both directions and in order.
    pub fn cut(&self) {
        self.sky.send_modify(|sky| sky.cuts += 1);
    }

    /// Resets what stands.
    pub fn reset(&self) {
        self.sky.send_modify(|sky| sky.resets += 1);
    }

    /// How many connections were opened.
    pub fn opened(&self) -> u64 {
        self.counts.opened.load(Relaxed)
    }

    /// How many stand of which the client has not gone, as far as can be seen.
    pub fn standing(&self) -> u64 {
        self.counts.standing.load(Relaxed)
    }

    /// How many were reset.
    pub fn resets(&self) -> u64 {
        self.counts.reset.load(Relaxed)
    }

    /// How many bytes were swallowed.
    pub fn swallowed_bytes(&self) -> u64 {
        self.counts.swallowed_bytes.load(Relaxed)
    }

    /// For people.
    pub fn told(&self) -> String {
        let count = |count: &AtomicU64| count.load(Relaxed);
        format!(
            "{} connections, {} cut, {} reset, {} bytes swallowed",
            self.opened(),
            count(&self.counts.cut),
            self.resets(),
            self.swallowed_bytes()
        )
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Door {
    listener: TcpListener,
    server_port: u16,
    sky: Arc<watch::Sender<Sky>>,
    counts: Arc<Counts>,
    rng: StdRng,
}

impl Door {
    async fn serve(mut self) {
        // They end with this task.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (client, _) = self.listener.accept().await.unwrap();
            while connections.try_join_next().is_some() {}
            let after = self.sky.borrow().weather.resets_after.clone();
            let bytes = after.map_or(u64::MAX, |after| self.rng.random_range(after));
            let between = Between {
                sky: self.sky.subscribe(),
                counts: Arc::clone(&self.counts),
                client_has_gone: Arc::default(),
                left: Arc::new(AtomicU64::new(bytes)),
            };
            self.counts.opened.fetch_add(1, Relaxed);
            let port = self.server_port;
            connections.spawn(async move {
                // A server that is down shows as a connection that ends.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _gone = between.stand(client, server).await;
                }
            });
        }
    }
}

/// One connection.
struct Between {
    sky: watch::Receiver<Sky>,
    counts: Arc<Counts>,
    client_has_gone: Arc<AtomicBool>,
    /// Bytes until the reset.
    left: Arc<AtomicU64>,
}

impl Between {
    async fn stand(self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        self.counts.standing.fetch_add(1, Relaxed);
        let mut there = self.direction(|weather| weather.to_server);
        there.client_has_gone = Some(Arc::clone(&self.client_has_gone));
        let back = self.direction(|weather| weather.to_client);
        let told = wait_for_end(self.sky.clone());
        let end = {
            let there = there.carry(&from_client, to_server);
            let back = back.carry(&from_server, to_client);
            tokio::select! {
                end = there => end,
                end = back => end,
                end = told => end,
            }
        };
        note_gone(&self.client_has_gone, &self.counts);
        match end {
            End::ByPeers => {}
            End::Cut => drop(self.counts.cut.fetch_add(1, Relaxed)),
            End::Reset => drop(self.counts.reset.fetch_add(1, Relaxed)),
        }
        if end == End::Reset {
            from_client.as_ref().set_zero_linger()?;
            from_server.as_ref().set_zero_linger()?;
        }
        Ok(())
    }

    fn direction(&self, way: fn(&Weather) -> Way) -> Direction {
        Direction {
            way,
            sky: self.sky.clone(),
            counts: Arc::clone(&self.counts),
            left: Arc::clone(&self.left),
            client_has_gone: None,
            broken: false,
        }
    }
}

fn note_gone(client: &AtomicBool, counts: &Counts) {
    if !client.swap(true, Relaxed) {
        counts.standing.fetch_sub(1, Relaxed);
    }
}

/// Until the connections that stand now are ended.
async fn wait_for_end(mut sky: watch::Receiver<Sky>) -> End {
    let (cuts, resets) = {
        let sky = sky.borrow();
        (sky.cuts, sky.resets)
    };
    let told = sky.wait_for(|sky| sky.cuts > cuts || sky.resets > resets);
    match told.await {
        Ok(sky) if sky.resets > resets => End::Reset,
        _ => End::Cut,
    }
}

/// What one direction holds at most, in pieces of [`PIECE`] bytes: half a second of a busy mirror, and then its sender waits.
const PIECES: usize = 256;
const PIECE: usize = 16 * 1024;

/// Pieces of a slow way.
const SLOW_PIECE: usize = 512;

struct Direction {
    way: fn(&Weather) -> Way,
    sky: watch::Receiver<Sky>,
    counts: Arc<Counts>,
    left: Arc<AtomicU64>,
    /// Of the direction in which the client speaks.
    client_has_gone: Option<Arc<AtomicBool>>,
    /// Something was swallowed: nothing comes through any more.
    broken: bool,
}

impl Direction {
    async fn carry(mut self, from: &OwnedReadHalf, to: OwnedWriteHalf) -> End {
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut writing = pin!(write(pieces, to));
        let end = tokio::select! {
            end = self.take(from, sender) => end,
            () = &mut writing => return End::ByPeers,
        };
        if end == End::ByPeers {
            // What the sender said before it closed is still written.
            writing.await;
        }
        end
    }

    async fn take(&mut self, from: &OwnedReadHalf, to: mpsc::Sender<(Instant, Vec<u8>)>) -> End {
        loop {
            let way = (self.way)(&self.sky.borrow_and_update().weather);
            if way == Way::Hold && !self.broken {
                let _ = self.sky.changed().await;
                continue;
            }
            tokio::select! {
                changed = self.sky.changed() => {
                    if changed.is_err() {
                        return End::Cut;
                    }
                    continue;
                }
                ready = from.readable() => if ready.is_err() {
                    return self.over().await;
                },
            }
            let most = if matches!(way, Way::Slow(_)) {
                SLOW_PIECE
            } else {
                PIECE
            };
            let mut piece = vec![0; most];
            match from.try_read(&mut piece) {
                Ok(0) => return self.over().await,
                Ok(taken) => piece.truncate(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return self.over().await,
            }
            if let Some(end) = self.pass(way, piece, &to).await {
                return end;
            }
        }
    }

    async fn pass(
        &mut self,
        way: Way,
        piece: Vec<u8>,
        to: &mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> Option<End> {
        let length = piece.len() as u64;
        let left = self.left.load(Relaxed).saturating_sub(length);
        self.left.store(left, Relaxed);
        if left == 0 {
            return Some(End::Reset);
        }
        self.broken |= way == Way::Swallow;
        if self.broken {
            self.counts.swallowed_bytes.fetch_add(length, Relaxed);
            return None;
        }
        let delay = match way {
            Way::Delay(delay) => delay,
            _ => Duration::ZERO,
        };
        if to.send((Instant::now() + delay, piece)).await.is_err() {
            return Some(End::ByPeers);
        }
        if let Way::Slow(bytes_per_s) = way {
            let nanos = length * 1_000_000_000 / u64::from(bytes_per_s);
            sleep(Duration::from_nanos(nanos)).await;
        }
        None
    }

    /// The sender has closed. Behind a broken way nobody learns of it.
    async fn over(&self) -> End {
        if let Some(client) = &self.client_has_gone {
            note_gone(client, &self.counts);
        }
        if self.broken {
            std::future::pending::<()>().await;
        }
        End::ByPeers
    }
}

/// Writes each piece when it is due, until there are no more or their receiver is gone.
async fn write(mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
