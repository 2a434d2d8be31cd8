//! The names that templates may use.

use super::template::Slot;

/// What a body knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodySlot {
    /// The items, as an array.
    Changes,
    /// What the client sends next time.
    Cursor,
    /// Whether the limit cut the answer.
    HasMore,
    /// The last position that this replica has.
    Head,
    /// The gateway's time.
    ServerTimeMs,
    /// Number of items.
    Count,
    /// When the client should poll again.
    NextPollMs,
    /// `poll` or `push`, for this client.
    Transport,
    /// Whether the items are the state and not the changes.
    Snapshot,
    /// The module, as the client calls it.
    Module,
}

impl Slot for BodySlot {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("changes", Self::Changes),
        ("cursor", Self::Cursor),
        ("has_more", Self::HasMore),
        ("head", Self::Head),
        ("server_time_ms", Self::ServerTimeMs),
        ("count", Self::Count),
        ("next_poll_ms", Self::NextPollMs),
        ("transport", Self::Transport),
        ("snapshot", Self::Snapshot),
        ("module", Self::Module),
    ];

    fn is_number(self) -> bool {
        match self {
            // Of the kind `position`; a token is text already.
            Self::Cursor | Self::Head | Self::ServerTimeMs | Self::Count | Self::NextPollMs => true,
            Self::Changes | Self::HasMore | Self::Transport | Self::Snapshot | Self::Module => {
                false
            }
        }
    }
}

/// What an item knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSlot {
    /// The entity's key.
    Key,
    /// `upsert` or `delete`, or what `ops` makes of them.
    Op,
    /// The position in the log.
    Position,
    /// Position of the channel's preceding change; `null` in a state, which does not keep it.
    Previous,
    /// The value, as it came.
    Value,
    /// For whom it is.
    Audience,
    /// The producer's id; `null` if there is none, and in a state.
    ChangeId,
    /// When it happened; `null` in a state.
    OccurredAtMs,
    /// When it was numbered; `null` in a state.
    SequencedAtMs,
}

impl Slot for ItemSlot {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("key", Self::Key),
        ("op", Self::Op),
        ("position", Self::Position),
        ("previous", Self::Previous),
        ("value", Self::Value),
        ("audience", Self::Audience),
        ("change_id", Self::ChangeId),
        ("occurred_at_ms", Self::OccurredAtMs),
        ("sequenced_at_ms", Self::SequencedAtMs),
    ];

    fn is_number(self) -> bool {
        match self {
            Self::Position | Self::Previous | Self::OccurredAtMs | Self::SequencedAtMs => true,
            Self::Key | Self::Op | Self::Value | Self::Audience | Self::ChangeId => false,
        }
    }

    fn has_members(self) -> bool {
        self == Self::Value
    }
}

impl ItemSlot {
    /// What the state per key does not keep.
    pub const NOT_IN_STATE: [(&'static str, Self); 4] = [
        ("$previous", Self::Previous),
        ("$change_id", Self::ChangeId),
        ("$occurred_at_ms", Self::OccurredAtMs),
        ("$sequenced_at_ms", Self::SequencedAtMs),
    ];
}

/// What an error envelope knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorSlot {
    /// The HTTP status that says what happened, also where `error_status` hides it.
    Status,
    /// A sentence.
    Message,
    /// The module, as the client calls it; `null` if the request names none.
    Module,
}

impl Slot for ErrorSlot {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("status", Self::Status),
        ("message", Self::Message),
        ("module", Self::Module),
    ];

    fn is_number(self) -> bool {
        self == Self::Status
    }
}
