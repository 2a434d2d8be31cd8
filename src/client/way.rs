//! How a module's changes come: by polls, by push, or on the way from one to the other.
//!
//! Invariant: what was pushed is applied in [`Way::Live`] only, and that is reached by no other road than a read that
//! began after the subscription stood and came to the end of the log, or by a session that the broker has kept ever since.

/// How a module's changes come to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By polls, because the gateway says so.
    Polling,
    /// To be pushed, but the subscription does not stand. Polls go on.
    Joining,
    /// It was live and the connection is lost; the broker may keep what comes. Polls go on.
    Away,
    /// The subscription stands. What comes is kept until a read that began after that has reached the end.
    CatchingUp,
    /// Pushed: what comes is applied at once.
    Live,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayEvent {
    /// The session says poll.
    ToldPoll,
    /// The session says push, where it is.
    ToldPush,
    /// The session says push, and somewhere else than before.
    ToldElsewhere,
    /// The connection is there, and the broker has not kept the session of before.
    SessionLost,
    /// The subscription stands.
    Stands,
    /// The broker refuses the subscription.
    Refused,
    /// The connection is lost.
    Lost,
    /// A change shows that something before it is missing.
    Gap,
    /// The same change shows it again, after a read has reached the end.
    GapAgain,
    /// More came than is kept.
    Overflow,
    /// The broker may have lost something: `generation` is another one, or the log has a new epoch.
    NewGeneration,
    /// A read that began after it was last wanted has reached the end.
    UpToDate,
}

/// What is done about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayAct {
    /// Give up the subscription.
    Leave,
    /// Drop what was kept.
    Drop,
    /// Connect to the broker that the session names, and subscribe.
    Join,
    /// Begin a read.
    Read,
    /// Begin a read after a random delay.
    ReadSoon,
    /// Begin a read after a pause.
    ReadLater,
    /// Begin the next read at a random part of the interval of polls.
    Spread,
    /// Begin the next read when it is due: the next poll, or the next resync.
    Pace,
    /// Apply what was kept.
    Apply,
}

impl Way {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Polling,
        Self::Joining,
        Self::Away,
        Self::CatchingUp,
        Self::Live,
    ];

    /// The table: what follows, and what is done.
    pub const fn on(self, event: WayEvent) -> (Self, &'static [WayAct]) {
        use WayAct::{Apply, Drop, Join, Leave, Pace, Read, ReadLater, ReadSoon, Spread};
        use WayEvent as On;
        match (self, event) {
            (Self::Polling, On::ToldPush | On::ToldElsewhere) => (Self::Joining, &[Join]),
            (Self::Polling, On::UpToDate) => (self, &[Pace]),
            (Self::Polling, _) => (self, &[]),
            (_, On::ToldPoll) => (Self::Polling, &[Leave, Drop, Spread]),
            (_, On::ToldElsewhere) => (Self::Joining, &[Leave, Drop, Join, Pace]),
            (_, On::ToldPush) => (self, &[]),
            (Self::Joining | Self::CatchingUp, On::Stands) => (Self::CatchingUp, &[Read]),
            (Self::Away, On::Stands) => (Self::Live, &[Pace, Apply]),
            // Also if the next connection finds a session again: that one began without this subscription.
            (Self::Away, On::SessionLost) => (Self::Joining, &[]),
            (Self::Joining | Self::Away, On::Refused) => (Self::Joining, &[]),
            (Self::CatchingUp, On::Refused | On::Lost) | (Self::Live, On::Refused) => {
                (Self::Joining, &[Pace])
            }
            (Self::Live, On::Lost) => (Self::Away, &[Pace]),
            (Self::Away, On::Overflow | On::NewGeneration) => (Self::Joining, &[]),
            (Self::CatchingUp, On::Overflow) => (self, &[Read]),
            (Self::CatchingUp | Self::Live, On::NewGeneration) => (self, &[ReadSoon]),
            (Self::Live, On::Gap) => (Self::CatchingUp, &[Read]),
            (Self::Live, On::GapAgain) => (Self::CatchingUp, &[ReadLater]),
            (Self::Joining | Self::Away | Self::Live, On::UpToDate) => (self, &[Pace]),
            (Self::CatchingUp, On::UpToDate) => (Self::Live, &[Pace, Apply]),
            (Self::Joining, On::Lost | On::Overflow | On::NewGeneration)
            | (Self::Away, On::Lost)
            | (Self::Live, On::Stands | On::Overflow)
            | (Self::Joining | Self::CatchingUp | Self::Live, On::SessionLost)
            | (Self::Joining | Self::Away | Self::CatchingUp, On::Gap | On::GapAgain) => {
                (self, &[])
            }
        }
    }
}

impl WayEvent {
    /// Every event.
    pub const ALL: [Self; 12] = [
        Self::ToldPoll,
        Self::ToldPush,
        Self::ToldElsewhere,
        Self::SessionLost,
        Self::Stands,
        Self::Refused,
        Self::Lost,
        Self::Gap,
        Self::GapAgain,
        Self::Overflow,
        Self::NewGeneration,
        Self::UpToDate,
    ];
}
