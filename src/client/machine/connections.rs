//! The connections of a client, and what comes over them.

use std::collections::BTreeMap;

use super::Client;
use crate::{
    client::{
        Action, AskingEvent, ConnectionAct, ConnectionEvent, ConnectionState, LinkId, Message,
        WayEvent,
        feed::Feed,
        links::{Link, Site},
    },
    domain::ModuleName,
};

impl Client {
    pub(super) fn site(&self, id: LinkId) -> Option<Site> {
        let mut links = self.links.iter();
        let (site, _) = links.find(|(_, link)| link.id == id)?;
        Some(site.clone())
    }

    pub(super) fn connection(&mut self, site: &Site, event: ConnectionEvent) {
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
                link.opens();
                actions.push(Action::Connect {
                    link: link.id,
                    connection: link.with.clone(),
                });
            }
            ConnectionAct::Disconnect => actions.push(Action::Disconnect { link: link.id }),
            ConnectionAct::BackOff => link.due = self.cx.after_pause(&mut link.failures, None),
            ConnectionAct::AskSession => {
                if link.asks(&mut self.cx) {
                    self.ask(AskingEvent::Flip, None, None);
                }
            }
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

    pub(super) fn on_connected(&mut self, id: LinkId, session_present: bool) {
        if let Some(site) = self.site(id) {
            if !session_present {
                for feed in self.feeds.values_mut().filter(|feed| is_at(feed, &site)) {
                    feed.step(WayEvent::SessionLost, &mut self.cx);
                }
            }
            self.connection(&site, ConnectionEvent::Connected);
        }
    }

    pub(super) fn on_subscribed(&mut self, id: LinkId, module: &ModuleName, granted: bool) {
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
            link.stands();
            feed.step(WayEvent::Stands, &mut self.cx);
        } else {
            feed.step(WayEvent::Refused, &mut self.cx);
            feed.subscribe_at = Some(self.cx.after_pause(&mut link.failures, None));
            if link.asks(&mut self.cx) {
                self.ask(AskingEvent::Flip, None, None);
            }
        }
    }

    pub(super) fn on_message(&mut self, id: LinkId, message: Message) {
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

pub(super) fn is_at(feed: &Feed, site: &Site) -> bool {
    feed.place.as_ref().is_some_and(|place| place.site == *site)
}

/// Subscribes for a module, if its connection is open.
pub(super) fn subscribe(
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
