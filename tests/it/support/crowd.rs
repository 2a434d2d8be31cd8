//! Many clients of one module: their rule is `changeover::client`, what they ask is asked of a real gateway, and their broker is
//! thought of, except for the retained message that a test hands on.
//!
//! They live in a time of their own, or by the machine's clock where the gateway's guards move them: then what they do counts from
//! when it was due, and how late the machine was with it is known.
//!
//! A client is watched until it has polled once after it left the push, which is the poll that arrives with all the others'; by the
//! machine's clock until it is back on push.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use changeover::{
    client::{
        Action, Bookmark, Change, Client, Event, LinkId, Message, Page, Progress, Session,
        Settings, Way,
    },
    domain::{Audience, Cursor, Epoch, JsonText, ModuleName, Op, Position, Transport},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::{MissedTickBehavior, interval};

/// Questions that are under way at once.
const AT_ONCE: usize = 16;

/// How often it is looked who is due by the machine's clock.
const TICK: Duration = Duration::from_millis(20);

/// How the broker takes who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// It lets everybody in.
    Open,
    /// Its port is closed.
    Closed,
    /// Its machine is gone: who connects hears nothing.
    Gone,
}

pub struct Crowd {
    world: World,
    members: Vec<Member>,
    /// Of their own time.
    pub now: Duration,
}

struct Member {
    id: String,
    module: ModuleName,
    client: Client,
    link: Option<LinkId>,
    /// When it polled first after it left the push.
    came: Option<Duration>,
    watched: bool,
    /// When it has polled since.
    polls: Vec<Duration>,
    /// When it was told to take the push again.
    returned: Option<Duration>,
    /// How late the machine was at most with what was due.
    late: Duration,
}

impl Crowd {
    /// So many clients of a module; `seed` decides their names and their chances.
    pub fn new(public: &str, module: &str, count: u64, seed: u64) -> Self {
        let module: ModuleName = module.parse().unwrap();
        // There is one replica: no other one could know of a flip later.
        let settings = Settings {
            confirm_after: Duration::from_hours(1),
            ..Settings::default()
        };
        let member = |number: u64| {
            let seed = seed
                .wrapping_add(number)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let followed = [(module.clone(), Progress::from_the_beginning())];
            Member {
                id: format!("terminal-{seed:016x}"),
                module: module.clone(),
                client: Client::new(settings.clone(), followed, seed),
                link: None,
                came: None,
                watched: false,
                polls: Vec::new(),
                returned: None,
                late: Duration::ZERO,
            }
        };
        Self {
            world: World {
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
                public: public.to_owned(),
                door: Door::Open,
                real: None,
            },
            members: (0..count).map(member).collect(),
            now: Duration::ZERO,
        }
    }

    /// Lets all of them live for a while of their own time.
    pub async fn live(&mut self, span: Duration, step: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += step;
            self.pass().await;
        }
    }

    /// Lets all of them live by the machine's clock until something is so.
    pub async fn live_until(
        &mut self,
        what: &str,
        patience: Duration,
        mut is_so: impl AsyncFnMut(&Self) -> bool,
    ) {
        let began = Instant::now();
        self.world.real = Some((began, self.now));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_so(self).await {
            assert!(began.elapsed() < patience, "not in {patience:?}: {what}");
            ticks.tick().await;
            self.now = self.world.now(self.now);
            self.pass().await;
        }
        self.now = self.world.now(self.now);
        self.world.real = None;
    }

    async fn pass(&mut self) {
        let (now, world) = (self.now, &self.world);
        let members = self.members.iter_mut();
        let due = members.filter(|member| member.is_due(now, world));
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |member| member.on_time(now, world))
            .await;
    }

    /// All of them are told the retained message at the same moment, and watched from then on.
    pub async fn hear(&mut self, retained: &Value) {
        let (now, world) = (self.now, &self.world);
        let bookmark = bookmark(retained);
        stream::iter(&mut self.members)
            .for_each_concurrent(AT_ONCE, |member| {
                (member.came, member.watched) = (None, true);
                member.hear(bookmark.clone(), now, world)
            })
            .await;
    }

    /// All of them lose their connection at the same moment, and are watched from then on. From now on the broker's door is so.
    pub async fn lose_the_broker(&mut self, door: Door) {
        self.world.door = door;
        let (now, world) = (self.now, &self.world);
        stream::iter(&mut self.members)
            .for_each_concurrent(AT_ONCE, |member| {
                (member.came, member.watched) = (None, true);
                let link = member.link.take().expect("it is connected");
                member.act(Event::Disconnected { link }, now, world)
            })
            .await;
    }

    /// The broker is back. Who hears nothing of it goes on hearing nothing.
    pub fn find_the_broker(&mut self) {
        self.world.door = Door::Open;
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// How many are on this way.
    pub fn on(&self, way: Way) -> usize {
        let ways = self.members.iter().map(Member::way);
        ways.filter(|found| *found == way).count()
    }

    /// How many polls arrived in each span since `began`, of those who came back: the first of each. All must have come.
    pub fn arrivals(&self, began: Duration, span: Duration) -> Vec<usize> {
        let came = self.members.iter().map(|member| {
            let came = member.came;
            came.unwrap_or_else(|| panic!("{} has not come", member.id))
        });
        in_spans(came, began, span)
    }

    /// The shortest time between two polls of one of them.
    pub fn shortest_interval(&self) -> Duration {
        let pairs = self
            .members
            .iter()
            .flat_map(|member| member.polls.windows(2));
        let intervals = pairs.map(|pair| pair[1].saturating_sub(pair[0]));
        intervals.min().expect("nobody has polled twice")
    }

    /// How many were told to take the push again in each span since the first of them.
    pub fn returns(&self, span: Duration) -> Vec<usize> {
        let returned = self.members.iter().filter_map(|member| member.returned);
        let first = returned.clone().min().expect("nobody has returned");
        in_spans(returned, first, span)
    }

    /// How late the machine was at most with what was due.
    pub fn late(&self) -> Duration {
        let late = self.members.iter().map(|member| member.late);
        late.max().unwrap_or_default()
    }
}

fn in_spans(
    moments: impl Iterator<Item = Duration>,
    began: Duration,
    span: Duration,
) -> Vec<usize> {
    let mut counts = Vec::new();
    for moment in moments {
        let index = moment.saturating_sub(began).as_nanos() / span.as_nanos();
        let index = usize::try_from(index).unwrap();
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += 1;
    }
    counts
}

/// That no span has many more than its part, which is so many.
#[track_caller]
pub fn assert_no_crowd(what: &str, counts: &[usize], part: f64) {
    println!("{what}: {counts:?}, {part:.0} are a part");
    // Five standard deviations more come by chance.
    let most = part + 5.0 * part.sqrt();
    let busiest = counts.iter().max().unwrap();
    assert!(
        f64::from(u32::try_from(*busiest).unwrap()) < most,
        "{what}: {busiest}, {part:.0} are its part"
    );
}

impl Member {
    fn way(&self) -> Way {
        self.client.way(self.module.as_str()).unwrap()
    }

    /// One that has come is of no interest until something happens to all.
    fn is_due(&self, now: Duration, world: &World) -> bool {
        let is_done = match world.real {
            Some(_) => self.returned.is_some() && self.way() == Way::Live,
            None => self.watched && self.came.is_some(),
        };
        !is_done && self.client.wakes_at() <= now
    }

    async fn on_time(&mut self, now: Duration, world: &World) {
        while self.is_due(world.now(now), world) {
            // Not later than it wanted to, whatever the step of the crowd's time.
            let due = self.client.wakes_at();
            self.late = self.late.max(world.now(due).saturating_sub(due));
            self.act(Event::Time, due, world).await;
        }
    }

    async fn hear(&mut self, bookmark: Bookmark, now: Duration, world: &World) {
        let link = self.link.expect("it is connected");
        let message = Message::Bookmark(bookmark);
        self.act(Event::Message { link, message }, now, world).await;
    }

    /// Lets something happen to it, which was due at this moment, and does what it wants done.
    async fn act(&mut self, event: Event, due: Duration, world: &World) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let way = self.way();
            let actions = self.client.handle(event, world.now(due));
            if self.watched && way == Way::Polling && self.way() != Way::Polling {
                self.returned.get_or_insert(due);
            }
            for action in actions {
                events.extend(self.answered(action, due, world).await);
            }
        }
    }

    async fn answered(&mut self, action: Action, due: Duration, world: &World) -> Option<Event> {
        match action {
            Action::AskSession => Some(world.session(&self.id).await),
            Action::Read { module, after } => {
                if self.watched && !matches!(self.way(), Way::Live | Way::CatchingUp) {
                    self.came.get_or_insert(due);
                    self.polls.push(due);
                }
                Some(world.read(&self.id, module, after).await)
            }
            Action::Connect { link, .. } => {
                self.link = Some(link);
                match world.door {
                    Door::Open => Some(Event::Connected {
                        link,
                        session_present: false,
                    }),
                    Door::Closed => Some(Event::Disconnected { link }),
                    Door::Gone => None,
                }
            }
            Action::Subscribe { link, module, .. } => Some(Event::Subscribed {
                link,
                module,
                granted: true,
            }),
            Action::Disconnect { .. } => {
                self.link = None;
                None
            }
            Action::Unsubscribe { .. } | Action::Apply { .. } => None,
            Action::TakeState { .. } | Action::Forget { .. } => {
                panic!("the log reaches back to the beginning")
            }
        }
    }
}

/// What clients find outside. Each question to the gateway must be answered.
struct World {
    http: reqwest::Client,
    public: String,
    door: Door,
    /// While they live by the machine's clock: when that began, and what their time was then.
    real: Option<(Instant, Duration)>,
}

/// The answer to a legacy poll.
#[derive(Deserialize)]
struct Listed {
    list: Vec<Item>,
    since: u64,
    more: bool,
}

#[derive(Deserialize)]
struct Item {
    key: Box<str>,
    seq: u64,
    previous: u64,
    audience: String,
    body: Box<RawValue>,
}

impl World {
    /// What time it is for one with whom something was due at this moment.
    fn now(&self, due: Duration) -> Duration {
        self.real
            .map_or(due, |(began, then)| then + began.elapsed())
    }

    async fn session(&self, id: &str) -> Event {
        let url = format!("{}/v1/session", self.public);
        let request = self.http.post(url).json(&json!({"client_id": id}));
        let body = answer(request).await.bytes().await.unwrap();
        Event::Session(Session::parse(&body).unwrap())
    }

    /// A legacy poll, which says in its header how changes should come.
    async fn read(&self, id: &str, module: ModuleName, after: Option<Cursor>) -> Event {
        let since = after.map_or(0, |cursor| cursor.position.get());
        let url = format!("{}/api/{module}/list?since={since}", self.public);
        let answer = answer(self.http.get(url).header("X-Terminal", id)).await;
        let transport = &answer.headers()["changeover-transport"];
        let transport = match transport.to_str().unwrap() {
            "push" => Transport::Push,
            _ => Transport::Poll,
        };
        let body = answer.bytes().await.unwrap();
        let listed: Listed = serde_json::from_slice(&body).unwrap();
        let epoch = Epoch::new(1);
        let change = |item: Item| Change {
            epoch,
            position: Position::new(item.seq),
            previous: Position::new(item.previous),
            audience: Audience::stored(item.audience),
            key: item.key,
            op: Op::Upsert,
            value: Some(JsonText::parse(item.body.get()).unwrap()),
        };
        let page = Page {
            changes: listed.list.into_iter().map(change).collect(),
            cursor: Cursor::new(epoch, Position::new(listed.since)),
            has_more: listed.more,
            is_state: false,
            next_poll: None,
            transport: Some(transport),
        };
        Event::Page(module, page)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Response {
    request.send().await.unwrap().error_for_status().unwrap()
}

fn bookmark(retained: &Value) -> Bookmark {
    match Message::parse(retained.to_string().as_bytes()).unwrap() {
        Message::Bookmark(bookmark) => bookmark,
        Message::Change(..) => panic!("{retained} is a change"),
    }
}
