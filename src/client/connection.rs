//! The connection to one target, shared by all modules that come from there.
//!
//! Invariant: it is open or on its way exactly while a module is to be pushed over it, with a pause after each failure.

/// What there is of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nobody wants it.
    Off,
    /// It failed, and is opened again after a pause.
    Down,
    /// It is being opened.
    Opening,
    /// The broker let us in.
    Open,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The first module wants it.
    Wanted,
    /// The last module that wanted it has left.
    Unwanted,
    /// The pause is over.
    Due,
    /// The broker let us in.
    Connected,
    /// It is over, or was never there.
    Disconnected,
    /// There is something newer to connect with, and what was used is as old as a session gets.
    Renewed,
}

/// What is done about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionAct {
    /// Connect.
    Connect,
    /// Take leave of the broker.
    Disconnect,
    /// Subscribe to what the modules want.
    Subscribe,
    /// Tell the modules that it is lost.
    Lose,
    /// Connect again after a pause.
    BackOff,
    /// Ask for the session, if that is not too often: where to connect, or with what, may be another now.
    AskSession,
}

impl Connection {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Off, Self::Down, Self::Opening, Self::Open];

    /// The table: what follows, and what is done.
    pub const fn on(self, event: ConnectionEvent) -> (Self, &'static [ConnectionAct]) {
        use ConnectionAct::{AskSession, BackOff, Connect, Disconnect, Lose, Subscribe};
        use ConnectionEvent as On;
        match (self, event) {
            (Self::Off, On::Wanted) | (Self::Down, On::Due) => (Self::Opening, &[Connect]),
            (Self::Down, On::Unwanted) => (Self::Off, &[]),
            (Self::Opening | Self::Open, On::Unwanted) => (Self::Off, &[Disconnect]),
            (Self::Opening, On::Connected) => (Self::Open, &[Subscribe]),
            (Self::Opening, On::Disconnected) => (Self::Down, &[BackOff, AskSession]),
            (Self::Open, On::Disconnected) => (Self::Down, &[Lose, BackOff]),
            (Self::Open, On::Renewed) => (Self::Opening, &[Lose, Disconnect, Connect]),
            (
                Self::Off,
                On::Unwanted | On::Due | On::Connected | On::Disconnected | On::Renewed,
            )
            | (Self::Down, On::Wanted | On::Connected | On::Disconnected | On::Renewed)
            | (Self::Opening, On::Wanted | On::Due | On::Renewed)
            | (Self::Open, On::Wanted | On::Due | On::Connected) => (self, &[]),
        }
    }
}

impl ConnectionEvent {
    /// Every event.
    pub const ALL: [Self; 6] = [
        Self::Wanted,
        Self::Unwanted,
        Self::Due,
        Self::Connected,
        Self::Disconnected,
        Self::Renewed,
    ];
}
