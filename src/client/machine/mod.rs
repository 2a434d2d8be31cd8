//! A client of one gateway: its session, its connections and its modules, put together.

mod connections;
mod session;

use std::{collections::BTreeMap, time::Duration};

use super::{
    Action, Asking, AskingEvent, ConnectionEvent, Event, Progress, ReadingEvent, Settings, Way,
    chance::Chance,
    context::Context,
    feed::Feed,
    links::{Link, Site},
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
                connections::subscribe(name, feed, &self.links, &mut self.cx.actions);
            }
        }
    }
}

#[cfg(test)]
mod tests;
