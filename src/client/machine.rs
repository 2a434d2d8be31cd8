//! A client of one gateway: its session, its connections and its modules, put together.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Action, Asking, AskingAct, AskingEvent, Connection, ConnectionAct, ConnectionEvent,
    ConnectionState, Event, LinkId, Message, Progress, ReadingEvent, Session, Settings, Way,
    WayAct, WayEvent,
    chance::Chance,
    feed::{Context, Feed},
    links::{Link, Place, Site},
};
use crate::domain::{Backoff, ModuleName};

/// A client. Two that are made alike and see the same do the same.
#[derive(Debug)]
pub struct Client {
    cx: Context,
    asking: Asking,
    /// When the session is asked for next.
    session_due: Duration,
    session_failures: Backoff,
    /// A flip was seen: the next answer is to be confirmed.
    confirms: bool,
    feeds: BTreeMap<ModuleName, Feed>,
    links: BTreeMap<Site, Link>,
    last_link: u64,
}

impl Client {
    /// A client that follows these modules. `seed` should differ from client to client: it spreads what many would do at once.
    pub fn new(
        settings: Settings,
        modules: impl IntoIterator<Item = (ModuleName, Progress)>,
        seed: u64,
    ) -> Self {
        let feed = |(name, progress): (ModuleName, Progress)| {
            (name.clone(), Feed::new(name, progress, &settings))
        };
        Self {
            asking: Asking::Resting,
            session_due: Duration::ZERO,
            session_failures: Context::backoff(&settings),
            confirms: false,
            feeds: modules.into_iter().map(feed).collect(),
            links: BTreeMap::new(),
            last_link: 0,
            cx: Context {
                now: Duration::ZERO,
                chance: Chance::new(seed),
                actions: Vec::new(),
                settings,
            },
        }
    }

    /// Takes in what happened, and says what is to be done, in this order. `now` is the time since any fixed moment, and never goes
    /// back. Begin with [`Event::Time`].
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        self.cx.now = self.cx.now.max(now);
        match event {
            Event::Time => {}
            Event::Flip => self.flip(),
            Event::Session(session) => self.ask(AskingEvent::Answered, Some(&session), None),
            Event::SessionFailed(retry_after) => self.ask(AskingEvent::Failed, None, retry_after),
            Event::Page(module, page) => {
                if self.feed(&module, |feed, cx| feed.on_page(page, cx)) == Some(true) {
                    self.flip();
                }
            }
            Event::State(module, page) => {
                self.feed(&module, |feed, cx| feed.on_state(page, cx));
            }
            Event::Gone(module) => {
                self.feed(&module, |feed, cx| feed.read(ReadingEvent::Gone, None, cx));
            }
            Event::NoState(module) => {
                self.feed(&module, Feed::on_no_state);
            }
            Event::ReadFailed(module, after) => {
                self.feed(&module, |feed, cx| {
                    feed.read(ReadingEvent::Failed, after, cx);
                });
            }
            Event::Connected {
                link,
                session_present,
            } => self.on_connected(link, session_present),
            Event::Subscribed {
                link,
                module,
                granted,
            } => self.on_subscribed(link, &module, granted),
            Event::Message { link, message } => self.on_message(link, message),
            Event::Disconnected { link } => {
                if let Some(site) = self.site(link) {
                    self.connection(&site, ConnectionEvent::Disconnected);
                }
            }
        }
        self.on_time();
        std::mem::take(&mut self.cx.actions)
    }

    /// When [`Event::Time`] is to be told, if nothing else happens before.
    pub fn wakes_at(&self) -> Duration {
        let session = match self.asking {
            Asking::Resting => self.session_due,
            Asking::Asking | Asking::AskingAgain => Duration::MAX,
        };
        let feeds = self.feeds.values().map(|feed| {
            let subscribe = feed.subscribe_at.unwrap_or(Duration::MAX);
            feed.wakes_at().min(subscribe)
        });
        let links = self.links.values().map(Link::wakes_at);
        feeds.chain(links).fold(session, Duration::min)
    }

    /// How a module's changes come; none if it is not followed.
    pub fn way(&self, module: &str) -> Option<Way> {
        self.feeds.get(module).map(|feed| feed.way)
    }

    /// What it has of a module, to be written down together with what was applied.
    pub fn progress(&self, module: &str) -> Option<&Progress> {
        self.feeds.get(module).map(|feed| &feed.progress)
    }

    fn feed<T>(
        &mut self,
        module: &ModuleName,
        act: impl FnOnce(&mut Feed, &mut Context) -> T,
    ) -> Option<T> {
        let feed = self.feeds.get_mut(module)?;
        Some(act(feed, &mut self.cx))
    }

    fn on_time(&mut self) {
        if self.asking == Asking::Resting && self.session_due <= self.cx.now {
            self.ask(AskingEvent::Due, None, None);
        }
        let due = self
            .links
            .iter()
            .filter(|(_, link)| link.wakes_at() <= self.cx.now);
        let due: Vec<_> = due.map(|(site, _)| site.clone()).collect();
        for site in due {
            self.connection(&site, ConnectionEvent::Due);
        }
        for (name, feed) in &mut self.feeds {
            feed.on_time(&mut self.cx);
            if feed.subscribe_at.is_some_and(|at| at <= self.cx.now) {
                feed.subscribe_at = None;
                subscribe(name, feed, &self.links, &mut self.cx.actions);
            }
        }
    }

    /// Something says that the session may be another.
    fn flip(&mut self) {
        self.confirms = true;
        self.ask(AskingEvent::Flip, None, None);
    }

    fn ask(
        &mut self,
        event: AskingEvent,
        session: Option<&Session>,
        retry_after: Option<Duration>,
    ) {
        let (asking, acts) = self.asking.on(event);
        self.asking = asking;
        for act in acts {
            match act {
                AskingAct::Ask => {
                    self.feeds.values_mut().for_each(Feed::asks);
                    self.cx.actions.push(Action::AskSession);
                }
                AskingAct::Obey => session.into_iter().for_each(|said| self.obey(said)),
                AskingAct::Renew => {
                    self.session_failures.reset();
                    let settings = &self.cx.settings;
                    let next = session.map_or(settings.longest_pause, |said| said.next_session);
                    let confirm = std::mem::take(&mut self.confirms);
                    let most = if confirm {
                        settings.confirm_after.min(settings.session_every)
                    } else {
                        settings.session_every
                    };
                    self.session_due = self.cx.now + next.min(most).max(settings.first_pause);
                }
                AskingAct::BackOff => {
                    let failures = &mut self.session_failures;
                    self.session_due = self.cx.after_pause(failures, retry_after);
                }
            }
        }
    }

    /// Everybody leaves before anybody joins, so that a broker sees no client twice.
    fn obey(&mut self, session: &Session) {
        for connection in session.targets.values() {
            if let Some(link) = self.links.get_mut(&Site::of(connection)) {
                link.with = connection.clone();
            }
        }
        let names: Vec<_> = self.feeds.keys().cloned().collect();
        let mut joins = Vec::new();
        for name in names {
            let (Some(told), Some(feed)) = (session.modules.get(&name), self.feeds.get_mut(&name))
            else {
                continue;
            };
            feed.obey(told, session.resync, &self.cx.settings);
            let place = Place::told(told, session);
            let event = match &place {
                None => WayEvent::ToldPoll,
                Some((place, _)) if feed.place.as_ref() == Some(place) => WayEvent::ToldPush,
                Some(_) => WayEvent::ToldElsewhere,
            };
            let acts = feed.step(event, &mut self.cx);
            if acts.contains(&WayAct::Leave) {
                self.leave(&name);
            }
            if let (true, Some((place, with))) = (acts.contains(&WayAct::Join), place) {
                joins.push((name, place, with));
            }
        }
        for (name, place, with) in joins {
            self.join(&name, place, with);
        }
    }

    fn leave(&mut self, module: &ModuleName) {
        let place = self.feeds.get_mut(module).and_then(Feed::leaves);
        let Some(place) = place else {
            return;
        };
        let link = self.links.get(&place.site);
        if let Some(link) = link.filter(|link| link.state == ConnectionState::Open) {
            // Also before taking leave: the broker would keep what comes for as long as it keeps the session.
            self.cx.actions.push(Action::Unsubscribe {
                link: link.id,
                topics: place.topics,
            });
        }
        if !self.feeds.values().any(|feed| is_at(feed, &place.site)) {
            self.connection(&place.site, ConnectionEvent::Unwanted);
            self.links.remove(&place.site);
        }
    }

    fn join(&mut self, module: &ModuleName, place: Place, with: Connection) {
        let site = place.site.clone();
        let settings = &self.cx.settings;
        let link = self.links.entry(site.clone());
        link.or_insert_with(|| Link::new(with, settings));
        let Some(feed) = self.feeds.get_mut(module) else {
            return;
        };
        feed.place = Some(place);
        subscribe(module, feed, &self.links, &mut self.cx.actions);
        self.connection(&site, ConnectionEvent::Wanted);
    }

    fn site(&self, id: LinkId) -> Option<Site> {
        let mut links = self.links.iter();
        let (site, _) = links.find(|(_, link)| link.id == id)?;
        Some(site.clone())
    }

    fn connection(&mut self, site: &Site, event: ConnectionEvent) {
        let Some(link) = self.links.get_mut(site) else {
            return;
        };
        let (state, acts) = link.state.on(event);
        link.state = state;
        for act in acts {
            self.connection_act(site, *act);
        }
    }

    fn connection_act(&mut self, site: &Site, act: ConnectionAct) {
        let Some(link) = self.links.get_mut(site) else {
            return;
        };
        let actions = &mut self.cx.actions;
        match act {
            ConnectionAct::Connect => {
                self.last_link += 1;
                link.id = LinkId(self.last_link);
                actions.push(Action::Connect {
                    link: link.id,
                    connection: link.with.clone(),
                });
            }
            ConnectionAct::Disconnect => actions.push(Action::Disconnect { link: link.id }),
            ConnectionAct::BackOff => link.due = self.cx.after_pause(&mut link.failures, None),
            ConnectionAct::AskSession => self.ask(AskingEvent::Flip, None, None),
            ConnectionAct::Subscribe => {
                for (name, feed) in self.feeds.iter().filter(|(_, feed)| is_at(feed, site)) {
                    subscribe(name, feed, &self.links, actions);
                }
            }
            ConnectionAct::Lose => {
                for feed in self.feeds.values_mut().filter(|feed| is_at(feed, site)) {
                    feed.subscribe_at = None;
                    feed.step(WayEvent::Lost, &mut self.cx);
                }
            }
        }
    }

    fn on_connected(&mut self, id: LinkId, session_present: bool) {
        if let Some(site) = self.site(id) {
            if !session_present {
                for feed in self.feeds.values_mut().filter(|feed| is_at(feed, &site)) {
                    feed.step(WayEvent::SessionLost, &mut self.cx);
                }
            }
            self.connection(&site, ConnectionEvent::Connected);
        }
    }

    fn on_subscribed(&mut self, id: LinkId, module: &ModuleName, granted: bool) {
        let Some(site) = self.site(id) else {
            return;
        };
        let (Some(link), Some(feed)) = (self.links.get_mut(&site), self.feeds.get_mut(module))
        else {
            return;
        };
        if link.state != ConnectionState::Open || !is_at(feed, &site) {
            return;
        }
        if granted {
            link.failures.reset();
            feed.step(WayEvent::Stands, &mut self.cx);
        } else {
            feed.step(WayEvent::Refused, &mut self.cx);
            feed.subscribe_at = Some(self.cx.after_pause(&mut link.failures, None));
            self.ask(AskingEvent::Flip, None, None);
        }
    }

    fn on_message(&mut self, id: LinkId, message: Message) {
        let Some(site) = self.site(id) else {
            return;
        };
        let module = match &message {
            Message::Change(module, _) => module,
            Message::Bookmark(bookmark) => &bookmark.module,
        };
        let Some(feed) = self.feeds.get_mut(module) else {
            return;
        };
        if !is_at(feed, &site) {
            return;
        }
        let flips = match message {
            Message::Change(_, change) => {
                feed.hear(change, &mut self.cx);
                false
            }
            Message::Bookmark(bookmark) => feed.on_bookmark(&bookmark, &mut self.cx),
        };
        if flips {
            self.flip();
        }
    }
}

fn is_at(feed: &Feed, site: &Site) -> bool {
    feed.place.as_ref().is_some_and(|place| place.site == *site)
}

/// Subscribes for a module, if its connection is open.
fn subscribe(
    module: &ModuleName,
    feed: &Feed,
    links: &BTreeMap<Site, Link>,
    actions: &mut Vec<Action>,
) {
    let Some(place) = &feed.place else {
        return;
    };
    let link = links.get(&place.site);
    if let Some(link) = link.filter(|link| link.state == ConnectionState::Open) {
        actions.push(Action::Subscribe {
            link: link.id,
            module: module.clone(),
            topics: place.topics.clone(),
        });
    }
}
