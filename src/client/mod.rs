//! The client's rule as code: polls, push, and every way between them, without losing a change and without applying one
//! twice. `docs/CLIENTS.md` says the same for those who write it in another language.
//!
//! [`Client`] does no I/O. It is told what happened ([`Event`]) and what time it is, and says what is to be done
//! ([`Action`]); randomness comes from a seed. It has four regions, each a table of states and events: the session ([`Asking`]),
//! each connection to a broker ([`ConnectionState`]), and for each module the way that its changes come ([`Way`]) and its reads
//! ([`Reading`]).
//!
//! Invariants: a cursor is moved by answers to reads only; of each channel every change is applied once, in order, or is part of
//! a state that replaces what was held; whatever is lost on the way is found by the next gap, the next read after a connection, or the
//! next resync.
//!
//! ```
//! use std::time::Duration;
//! use changeover::client::{Action, Client, Event, Progress, Settings};
//!
//! let orders = "orders".parse()?;
//! let mut client = Client::new(Settings::default(), [(orders, Progress::from_the_state())], 7);
//! let actions = client.handle(Event::Time, Duration::ZERO);
//! assert!(actions.contains(&Action::AskSession));
//! # Ok::<(), changeover::domain::Invalid>(())
//! ```

mod asking;
mod chance;
mod change;
mod connection;
mod context;
mod event;
mod feed;
mod links;
mod machine;
mod progress;
mod reading;
mod settings;
mod way;
mod wire;

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod table_tests;

pub use asking::{Asking, AskingAct, AskingEvent};
pub use change::{By, Change};
pub use connection::{Connection as ConnectionState, ConnectionAct, ConnectionEvent};
pub use event::{
    Action, Bookmark, Connection, Event, LinkId, Message, Page, Session, StatePage, Told,
};
pub use machine::Client;
pub use progress::Progress;
pub use reading::{Reading, ReadingAct, ReadingEvent};
pub use settings::Settings;
pub use way::{Way, WayAct, WayEvent};
pub use wire::{Polled, Unreadable};
