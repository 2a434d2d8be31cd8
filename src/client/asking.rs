//! The session: asked for at the start, from time to time, and whenever something says that the answer may be another.
//!
//! Invariant: a question is under way once at most, and one that comes up meanwhile is asked after it.

/// What is known of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// It is not asked for. The next time is known.
    Resting,
    /// It is asked for.
    Asking,
    /// It is asked for, and something came up after that.
    AskingAgain,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskingEvent {
    /// The time has come.
    Due,
    /// The answer may be another now.
    Flip,
    /// It was answered.
    Answered,
    /// It was not answered.
    Failed,
}

/// What is done about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskingAct {
    /// Ask for the session.
    Ask,
    /// Do what it says.
    Obey,
    /// Ask again when the answer says; soon if it was asked for because of a flip.
    Renew,
    /// Ask again after a pause.
    BackOff,
}

impl Asking {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Resting, Self::Asking, Self::AskingAgain];

    /// The table: what follows, and what is done.
    pub const fn on(self, event: AskingEvent) -> (Self, &'static [AskingAct]) {
        use AskingAct::{Ask, BackOff, Obey, Renew};
        use AskingEvent as On;
        match (self, event) {
            (Self::Resting, On::Due | On::Flip) => (Self::Asking, &[Ask]),
            (Self::Asking, On::Flip) => (Self::AskingAgain, &[]),
            (Self::Asking, On::Answered) => (Self::Resting, &[Obey, Renew]),
            (Self::AskingAgain, On::Answered) => (Self::Asking, &[Obey, Ask]),
            (Self::Asking | Self::AskingAgain, On::Failed) => (Self::Resting, &[BackOff]),
            (Self::Resting, On::Answered | On::Failed)
            | (Self::Asking, On::Due)
            | (Self::AskingAgain, On::Due | On::Flip) => (self, &[]),
        }
    }
}

impl AskingEvent {
    /// Every event.
    pub const ALL: [Self; 4] = [Self::Due, Self::Flip, Self::Answered, Self::Failed];
}
