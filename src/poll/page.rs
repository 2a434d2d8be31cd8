//! What a read has found, before it becomes text.

use std::sync::Arc;

use super::{asked::Reached, meters::Answered};
use crate::{
    config::modules::CursorKind,
    domain::{Change, Op, Position},
    store::StateItem,
};

/// The items of an answer, by position.
#[derive(Debug, Clone)]
pub(super) enum Items {
    /// Changes of the log.
    Changes(Vec<Arc<Change>>),
    /// The last change of each key.
    State(Arc<[Arc<StateItem>]>),
}

impl Items {
    pub(super) const NONE: Self = Self::Changes(Vec::new());

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.len(),
            Self::State(items) => items.len(),
        }
    }

    /// Hands each item to `visit`, in order.
    pub(super) fn each(&self, mut visit: impl FnMut(ItemView<'_>)) {
        match self {
            Self::Changes(changes) => changes.iter().for_each(|c| visit(ItemView::of_change(c))),
            Self::State(items) => items.iter().for_each(|i| visit(ItemView::of_state(i))),
        }
    }
}

/// One item, whatever it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct ItemView<'a> {
    pub(super) key: &'a str,
    pub(super) op: Op,
    pub(super) position: Position,
    pub(super) value: &'a str,
    pub(super) audience: &'a str,
    /// What only the log knows.
    pub(super) change: Option<&'a Change>,
}

impl<'a> ItemView<'a> {
    fn of_change(change: &'a Change) -> Self {
        Self {
            key: &change.key,
            op: change.op,
            position: change.position,
            value: change.value.as_str(),
            audience: change.audience.as_str(),
            change: Some(change),
        }
    }

    fn of_state(item: &'a StateItem) -> Self {
        Self {
            key: &item.key,
            op: item.op,
            position: item.position,
            value: item.value.as_str(),
            audience: item.audience.as_str(),
            change: None,
        }
    }
}

/// What a read has found.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) items: Items,
    /// What the client sends next time.
    pub(super) cursor: Reached,
    /// Whether the limit cut it.
    pub(super) cut: bool,
    /// Whether this is state in place of changes.
    pub(super) snapshot: bool,
    /// The last position that the tail has.
    pub(super) head: Position,
    pub(super) answered: Answered,
}

impl Page {
    /// Whether it tells the client anything but that there is nothing new. A state in place of
    /// changes always does, be it empty, unless every answer is one.
    pub(super) fn is_news(&self, kind: CursorKind) -> bool {
        let is_restart = self.snapshot && kind != CursorKind::None;
        self.items.len() > 0 || self.cut || is_restart
    }

    /// Whether the client must be told its cursor: the one it has is so old that memory could not
    /// answer it.
    pub(super) fn must_move_client(&self, kind: CursorKind) -> bool {
        kind != CursorKind::None && !matches!(self.answered, Answered::Idle | Answered::Tail)
    }

    /// Whether it has nothing to say: a poll that may wait then does.
    pub(super) fn is_idle(&self) -> bool {
        self.items.len() == 0 && !self.cut && !self.snapshot
    }
}
