//! A client with one broker: how often it asks, and when it connects anew.

use std::collections::BTreeMap;

use super::*;
use crate::{
    client::{Connection, LinkId, Session, Told},
    domain::Transport,
};

const MODULE: &str = "orders";
const NEXT_SESSION: Duration = Duration::from_mins(30);

struct Bench {
    client: Client,
    now: Duration,
    passwords: u32,
    asked: u32,
    connects: Vec<(LinkId, Option<String>)>,
    disconnects: Vec<LinkId>,
}

impl Bench {
    fn new() -> Self {
        let modules = [(MODULE.parse().unwrap(), Progress::from_the_beginning())];
        let client = Client::new(Settings::default(), modules, 7);
        let mut bench = Self {
            client,
            now: Duration::ZERO,
            passwords: 0,
            asked: 0,
            connects: Vec::new(),
            disconnects: Vec::new(),
        };
        bench.tell(Event::Time);
        bench
    }

    /// Tells it, and answers each question for the session at once. Reads stay without an answer.
    fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.client.handle(event, self.now) {
                match action {
                    Action::AskSession => {
                        self.asked += 1;
                        events.push(Event::Session(self.session()));
                    }
                    Action::Connect { link, connection } => {
                        self.connects.push((link, connection.password));
                    }
                    Action::Disconnect { link } => self.disconnects.push(link),
                    _ => {}
                }
            }
        }
    }

    /// Each with another password, as the gateway makes them.
    fn session(&mut self) -> Session {
        self.passwords += 1;
        let connection = Connection {
            target: "broker".to_owned(),
            url: Some("mqtt://broker".to_owned()),
            websocket_url: None,
            protocol: "5".to_owned(),
            client_id: "one".to_owned(),
            username: Some("name".to_owned()),
            password: Some(self.passwords.to_string()),
            keep_alive: Duration::from_mins(1),
        };
        let told = Told {
            transport: Transport::Push,
            reason: "stage".to_owned(),
            topics: vec!["c/orders/u1".to_owned()],
            target: Some("broker".to_owned()),
            next_poll: None,
        };
        Session {
            next_session: NEXT_SESSION,
            resync: Duration::from_mins(5),
            targets: BTreeMap::from([("broker".to_owned(), connection)]),
            modules: BTreeMap::from([(MODULE.parse().unwrap(), told)]),
        }
    }

    /// Lets time pass until then.
    fn until(&mut self, end: Duration) {
        while self.client.wakes_at() <= end {
            self.now = self.client.wakes_at();
            self.tell(Event::Time);
        }
        self.now = end;
    }

    fn link(&self) -> LinkId {
        self.connects.last().unwrap().0
    }

    fn stands(&mut self) {
        let link = self.link();
        self.tell(Event::Connected {
            link,
            session_present: true,
        });
        self.tell(Event::Subscribed {
            link,
            module: MODULE.parse().unwrap(),
            granted: true,
        });
    }
}

#[test]
fn a_connection_is_renewed_when_its_password_is_old_and_not_with_each_session() {
    let mut bench = Bench::new();
    bench.stands();
    let first = bench.link();
    // A flip brings another password, which is not worth a connection.
    bench.until(Duration::from_mins(1));
    bench.tell(Event::Flip);
    bench.until(Duration::from_mins(20));
    assert!(bench.passwords > 2, "{}", bench.passwords);
    assert_eq!((bench.connects.len(), bench.disconnects.len()), (1, 0));
    bench.until(Duration::from_hours(1));
    assert_eq!(bench.disconnects, [first]);
    let newest = bench.passwords.to_string();
    assert_eq!(bench.connects.len(), 2);
    assert_eq!(bench.connects[1].1.as_deref(), Some(&*newest));
    assert_eq!(bench.client.way(MODULE), Some(Way::Joining));
    bench.stands();
    // What comes of the old one is of no interest.
    bench.tell(Event::Disconnected { link: first });
    assert_eq!(bench.connects.len(), 2);
}

#[test]
fn a_broker_that_refuses_brings_few_questions() {
    let mut bench = Bench::new();
    let hour = Duration::from_hours(1);
    while bench.now < hour {
        let link = bench.link();
        bench.tell(Event::Disconnected { link });
        let tries = bench.connects.len();
        while bench.connects.len() == tries {
            bench.until(bench.client.wakes_at());
        }
    }
    let tries = u32::try_from(bench.connects.len()).unwrap();
    assert!(tries >= 120, "it goes on to try, {tries} times");
    // Twelve of five minutes, up to twice as many as pauses are shortened at random; ten until then; and the sessions of the hour.
    assert!(bench.asked <= 24 + 10 + 4, "{} in {tries}", bench.asked);
    // Once a subscription stands, it may ask at once again.
    bench.stands();
    let link = bench.link();
    bench.tell(Event::Disconnected { link });
    bench.until(bench.now + Duration::from_secs(40));
    let asked = bench.asked;
    let link = bench.link();
    bench.tell(Event::Disconnected { link });
    assert!(bench.asked > asked);
}
