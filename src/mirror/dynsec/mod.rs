//! Clients that the gateway makes on a broker, by Mosquitto's dynamic-security plugin, and removes when they end.
//!
//! Sessions ask at the [`Desk`] of a target, and the [`Clerk`] carries out what has to be done, over a connection of its own: `exchange` is that
//! connection, `command` what is said there, `asking` what answers mean, `batch` what is said at once, `rights` what a client may do, `held` what is known and
//! who waits, `shares` whose the clients are.
//!
//! Invariants: a client may subscribe to and receive exactly the topics of its rights, by their names, and publish nothing: the plugin denies the rest by
//! default, and where it does not, no client is made. What a role allows is never changed: other topics are another role. Everything that is made has its
//! end in its name (`identity::passes::lasting`), so any replica removes it, also what a replica made that is gone. No role is removed that a client may
//! have: Mosquitto 2.0 would use it afterwards. A session whose client is still good asks the broker nothing.

mod asking;
mod batch;
mod clerk;
mod command;
mod desk;
mod exchange;
mod held;
mod limits;
mod rights;
mod shares;

pub use clerk::Clerk;
pub use desk::Desk;

use std::time::Duration;

/// Why the broker cannot be asked at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("the connection is over: {0}")]
    Closed(String),
    #[error("the broker has not let us in and listen within {0:?}")]
    NotLetIn(Duration),
    #[error("the broker does not let us listen to {response}: has the gateway's user the plugin's role of an admin?", response = command::RESPONSES)]
    NotHeard,
    #[error(
        "the broker refuses a command ({0}): has the gateway's user the plugin's role of an admin?"
    )]
    Refused(String),
    #[error("no answer within {0:?}: is mosquitto_dynamic_security.so loaded?")]
    Silent(Duration),
    #[error("the answer cannot be read")]
    Unreadable,
    #[error("`{command}` is refused: {why}")]
    Failed { command: String, why: String },
    #[error(
        "`{0}` is allowed by default, so clients could do more than their sessions say: deny it, as docs/BROKERS.md says"
    )]
    Permissive(&'static str),
}
