//! Many clients of one module, in a time of their own: their rule is `changeover::client`, what they ask is asked of a real
//! gateway, and their broker is thought of, except for the retained message that a test hands on.
//!
//! A client is watched until it has polled once after it left the push, which is the poll that arrives with all the others'.

use std::{collections::VecDeque, time::Duration};

use changeover::{
    client::{
        Action, Bookmark, Client, Event, LinkId, Message, Polled, Progress, Session, Settings, Way,
    },
    domain::{Cursor, ModuleName},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// Questions that are under way at once.
const AT_ONCE: usize = 16;

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
}

impl Crowd {
    /// So many clients of a module; `seed` decides their names and their chances.
    pub fn new(public: &str, module: &str, count: u64, seed: u64) -> Self {
        let module: ModuleName = module.parse().unwrap();
        let member = |number: u64| {
            let seed = seed
                .wrapping_add(number)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let followed = [(module.clone(), Progress::from_the_beginning())];
            Member {
                id: format!("terminal-{seed:016x}"),
                module: module.clone(),
                client: Client::new(Settings::default(), followed, seed),
                link: None,
                came: None,
                watched: false,
            }
        };
        Self {
            world: World {
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
                public: public.to_owned(),
                has_broker: true,
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
            let (now, world) = (self.now, &self.world);
            let due = self.members.iter_mut().filter(|member| member.is_due(now));
            stream::iter(due)
                .for_each_concurrent(AT_ONCE, |member| member.on_time(now, world))
                .await;
        }
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

    /// All of them lose their connection at the same moment, for good, and are watched from then on.
    pub async fn lose_the_broker(&mut self) {
        self.world.has_broker = false;
        let (now, world) = (self.now, &self.world);
        stream::iter(&mut self.members)
            .for_each_concurrent(AT_ONCE, |member| {
                (member.came, member.watched) = (None, true);
                let link = member.link.take().expect("it is connected");
                member.act(Event::Disconnected { link }, now, world)
            })
            .await;
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

    /// How many polls arrived in each span since `began`, of those who came back. All must have come.
    pub fn arrivals(&self, began: Duration, span: Duration) -> Vec<usize> {
        let mut arrivals = Vec::new();
        for member in &self.members {
            let came = member
                .came
                .unwrap_or_else(|| panic!("{} has not come", member.id));
            let index = came.saturating_sub(began).as_nanos() / span.as_nanos();
            let index = usize::try_from(index).unwrap();
            if arrivals.len() <= index {
                arrivals.resize(index + 1, 0);
            }
            arrivals[index] += 1;
        }
        arrivals
    }
}

impl Member {
    fn way(&self) -> Way {
        self.client.way(self.module.as_str()).unwrap()
    }

    /// One that has come is of no interest until something happens to all.
    fn is_due(&self, now: Duration) -> bool {
        let has_come = self.watched && self.came.is_some();
        !has_come && self.client.wakes_at() <= now
    }

    async fn on_time(&mut self, now: Duration, world: &World) {
        // Not later than it wanted to, whatever the step of the crowd's time.
        while self.is_due(now) {
            let at = self.client.wakes_at();
            self.act(Event::Time, at, world).await;
        }
    }

    async fn hear(&mut self, bookmark: Bookmark, now: Duration, world: &World) {
        let link = self.link.expect("it is connected");
        let message = Message::Bookmark(bookmark);
        self.act(Event::Message { link, message }, now, world).await;
    }

    async fn act(&mut self, event: Event, now: Duration, world: &World) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.client.handle(event, now) {
                match action {
                    Action::AskSession => events.push_back(world.session(&self.id).await),
                    Action::Read { module, after } => {
                        if self.watched && self.way() != Way::Live {
                            self.came.get_or_insert(now);
                        }
                        events.push_back(world.read(module, after).await);
                    }
                    Action::Connect { link, .. } => {
                        self.link = Some(link);
                        events.push_back(if world.has_broker {
                            Event::Connected {
                                link,
                                session_present: false,
                            }
                        } else {
                            Event::Disconnected { link }
                        });
                    }
                    Action::Subscribe { link, module, .. } => events.push_back(Event::Subscribed {
                        link,
                        module,
                        granted: true,
                    }),
                    Action::Disconnect { .. } => self.link = None,
                    Action::Unsubscribe { .. } | Action::Apply { .. } => {}
                    Action::TakeState { .. } | Action::Forget { .. } => {
                        panic!("the log reaches back to the beginning")
                    }
                }
            }
        }
    }
}

/// What clients find outside. Each question to the gateway must be answered.
struct World {
    http: reqwest::Client,
    public: String,
    has_broker: bool,
}

impl World {
    async fn session(&self, id: &str) -> Event {
        let body = self.post("v1/session", &json!({"client_id": id})).await;
        Event::Session(Session::parse(&body).unwrap())
    }

    async fn read(&self, module: ModuleName, after: Option<Cursor>) -> Event {
        let asked = json!({"cursors": {module.as_str(): after}});
        let body = self.post("v1/poll", &asked).await;
        match Polled::parse(&body).unwrap().remove(&module) {
            Some(Polled::Page(page)) => Event::Page(module, page),
            other => panic!("{other:?}"),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        let url = format!("{}/{path}", self.public);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        let answer = answer.error_for_status().unwrap();
        answer.bytes().await.unwrap().to_vec()
    }
}

fn bookmark(retained: &Value) -> Bookmark {
    match Message::parse(retained.to_string().as_bytes()).unwrap() {
        Message::Bookmark(bookmark) => bookmark,
        Message::Change(..) => panic!("{retained} is a change"),
    }
}
