//! The session of a client: when it is asked for, and what its modules do on its answer.

use std::time::Duration;

use super::{
    Client,
    connections::{is_at, subscribe},
};
use crate::{
    client::{
        Action, AskingAct, AskingEvent, Connection, ConnectionEvent, ConnectionState, Session,
        WayAct, WayEvent,
        feed::Feed,
        links::{Link, Place, Site},
    },
    domain::ModuleName,
};

impl Client {
    /// Something says that the session may be another.
    pub(super) fn flip(&mut self) {
        self.confirms = true;
        self.ask(AskingEvent::Flip, None, None);
    }

    pub(super) fn ask(
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
        let lasts = session.next_session.min(self.cx.settings.session_every);
        let mut renewed = Vec::new();
        for connection in session.targets.values() {
            let site = Site::of(connection);
            if let Some(link) = self.links.get_mut(&site)
                && link.is_told(connection, lasts, self.cx.now)
            {
                renewed.push(site);
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
        // Those that somebody still wants.
        for site in renewed {
            self.connection(&site, ConnectionEvent::Renewed);
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
        let link = self.links.entry(site.clone());
        link.or_insert_with(|| Link::new(with, &self.cx));
        let Some(feed) = self.feeds.get_mut(module) else {
            return;
        };
        feed.place = Some(place);
        subscribe(module, feed, &self.links, &mut self.cx.actions);
        self.connection(&site, ConnectionEvent::Wanted);
    }
}
