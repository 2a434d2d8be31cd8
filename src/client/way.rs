//! How a module's changes come: by polls, by push, or on the way from one to the other.
//!
//! Invariant: what was pushed is applied in [`Way::Live`] only, and that is reached by no other road than a read that
//! began after the subscription stood and came to the end of the log, or by a session that the broker has kept ever since.

use self::{
    WayAct::{Apply, Drop, Join, Leave, Pace, Read, ReadLater, ReadSoon, Spread},
    WayEvent as On,
};

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
    /// Begin the next read at a random part of the interval of polls, or after all of it where the gateway has spread its clients:
    /// whatever sends one client to polls sends all of them at once.
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
        match self {
            Self::Polling => Self::polling(event),
            Self::Joining => Self::joining(event),
            Self::Away => Self::away(event),
            Self::CatchingUp => Self::catching_up(event),
            Self::Live => Self::live(event),
        }
    }

    const fn polling(event: WayEvent) -> (Self, &'static [WayAct]) {
        match event {
            On::ToldPush | On::ToldElsewhere => (Self::Joining, &[Join]),
            On::UpToDate => (Self::Polling, &[Pace]),
            On::ToldPoll
            | On::SessionLost
            | On::Stands
            | On::Refused
            | On::Lost
            | On::Gap
            | On::GapAgain
            | On::Overflow
            | On::NewGeneration => (Self::Polling, &[]),
        }
    }

    const fn joining(event: WayEvent) -> (Self, &'static [WayAct]) {
        match event {
            On::ToldPoll => ON_WITH_POLLS,
            On::ToldElsewhere => ON_TO_ELSEWHERE,
            On::Stands => (Self::CatchingUp, &[Read]),
            On::UpToDate => (Self::Joining, &[Pace]),
            On::ToldPush
            | On::SessionLost
            | On::Refused
            | On::Lost
            | On::Gap
            | On::GapAgain
            | On::Overflow
            | On::NewGeneration => (Self::Joining, &[]),
        }
    }

    const fn away(event: WayEvent) -> (Self, &'static [WayAct]) {
        match event {
            On::ToldPoll => ON_WITH_POLLS,
            On::ToldElsewhere => ON_TO_ELSEWHERE,
            // Without the session also if the next connection finds one again: that began without this subscription.
            On::SessionLost | On::Refused | On::Overflow | On::NewGeneration => {
                (Self::Joining, &[])
            }
            On::Stands => (Self::Live, &[Pace, Apply]),
            On::UpToDate => (Self::Away, &[Pace]),
            On::ToldPush | On::Lost | On::Gap | On::GapAgain => (Self::Away, &[]),
        }
    }

    const fn catching_up(event: WayEvent) -> (Self, &'static [WayAct]) {
        match event {
            On::ToldPoll => BACK_TO_POLLS,
            On::ToldElsewhere => ELSEWHERE,
            On::Stands | On::Overflow => (Self::CatchingUp, &[Read]),
            On::Refused | On::Lost => (Self::Joining, &[Spread]),
            On::NewGeneration => (Self::CatchingUp, &[ReadSoon]),
            On::UpToDate => (Self::Live, &[Pace, Apply]),
            On::ToldPush | On::SessionLost | On::Gap | On::GapAgain => (Self::CatchingUp, &[]),
        }
    }

    const fn live(event: WayEvent) -> (Self, &'static [WayAct]) {
        match event {
            On::ToldPoll => BACK_TO_POLLS,
            On::ToldElsewhere => ELSEWHERE,
            On::Refused => (Self::Joining, &[Spread]),
            On::Lost => (Self::Away, &[Spread]),
            On::Gap => (Self::CatchingUp, &[Read]),
            On::GapAgain => (Self::CatchingUp, &[ReadLater]),
            On::NewGeneration => (Self::Live, &[ReadSoon]),
            On::UpToDate => (Self::Live, &[Pace]),
            On::ToldPush | On::SessionLost | On::Stands | On::Overflow => (Self::Live, &[]),
        }
    }
}

/// From where there were no polls.
const BACK_TO_POLLS: (Way, &[WayAct]) = (Way::Polling, &[Leave, Drop, Spread]);
const ELSEWHERE: (Way, &[WayAct]) = (Way::Joining, &[Leave, Drop, Join, Spread]);

/// From where polls went on: the next one is due when it was. To spread it anew would have all that poll already come twice in one
/// interval.
const ON_WITH_POLLS: (Way, &[WayAct]) = (Way::Polling, &[Leave, Drop]);
const ON_TO_ELSEWHERE: (Way, &[WayAct]) = (Way::Joining, &[Leave, Drop, Join]);

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
