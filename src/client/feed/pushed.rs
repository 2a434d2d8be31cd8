//! What is pushed of a module: changes, kept or applied, and its retained message.

use super::Feed;
use crate::{
    client::{Bookmark, By, Change, Way, WayEvent, context::Context, progress::Verdict},
    domain::{Epoch, Position},
};

impl Feed {
    /// A change was pushed.
    pub(in crate::client) fn hear(&mut self, change: Change, cx: &mut Context) {
        if self.way == Way::Polling {
            return;
        }
        if self.kept.len() >= cx.settings.kept_changes {
            let progress = &self.progress;
            self.kept
                .retain(|kept| progress.judge(kept) != Verdict::Had);
        }
        if self.kept.len() >= cx.settings.kept_changes {
            self.step(WayEvent::Overflow, cx);
            return;
        }
        self.kept.push_back(change);
        if self.way == Way::Live {
            self.apply_kept(cx);
        }
    }

    pub(super) fn apply_kept(&mut self, cx: &mut Context) {
        while let Some(change) = self.kept.pop_front() {
            match self.progress.judge(&change) {
                Verdict::Had => {}
                Verdict::Next => self.apply(change, By::Push, cx),
                Verdict::Missing => {
                    let tries = self.tries(change.position);
                    if tries > cx.settings.gap_tries {
                        // Were it of this log, a read would have brought it.
                        self.blocked = None;
                        continue;
                    }
                    self.blocked = Some((change.position, tries));
                    self.kept.push_front(change);
                    let event = if tries == 0 {
                        WayEvent::Gap
                    } else {
                        WayEvent::GapAgain
                    };
                    self.step(event, cx);
                    return;
                }
            }
        }
        self.blocked = None;
    }

    /// How many reads this change has asked for already.
    fn tries(&self, position: Position) -> u32 {
        match self.blocked {
            Some((blocked, tries)) if blocked == position => tries + 1,
            _ => 0,
        }
    }

    /// The retained message of the module. Returns whether it says that the session may be another now.
    pub(in crate::client) fn on_bookmark(&mut self, bookmark: &Bookmark, cx: &mut Context) -> bool {
        let before = self.generation.replace(bookmark.generation);
        let is_other = before.is_some_and(|before| before != bookmark.generation);
        if is_other || self.epoch() < Some(bookmark.epoch) {
            self.step(WayEvent::NewGeneration, cx);
        }
        self.version = Some(bookmark.version);
        self.version != self.asked_version
    }

    fn epoch(&self) -> Option<Epoch> {
        self.progress.cursor().map(|cursor| cursor.epoch)
    }
}
