//! A gateway as its users have it: in this process, or as the real program in one of its own.
//!
//! Both listen on free ports, read the same configuration file, and are spoken to over HTTP only. `setup.rs` is what they are configured with,
//! `client.rs` who speaks to them and `polled.rs` what polls bring, `in_process.rs` and `program.rs` are the two.

mod client;
mod in_process;
mod polled;
mod program;
mod setup;

use std::time::Duration;

pub use self::{
    client::{Answer, Client},
    in_process::InProcess,
    polled::{Page, assert_dense, keys},
    program::{Program, changeover},
    setup::Setup,
};

/// How long a gateway may take to get ready. Generous: the machine may be busy.
pub const START: Duration = Duration::from_mins(1);

/// The module of the tests. Its clients ask `GET /api/commission/list?since=41&uid=u1&size=50`.
pub const MODULE: &str = "commission";

/// One statement that inserts a change of `commission`, as a producer writes it.
pub fn insert(key: &str, value: &str) -> String {
    format!(
        "INSERT INTO outbox (module, entity_key, value) VALUES ('{MODULE}', '{key}', '{value}')"
    )
}
