//! The processes that share the database.
//!
//! Invariant: of two processes with one name at most one gets its beats accepted; time is the database's.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::domain::{Micros, ModuleName};

/// A process of the gateway, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its `server.instance`.
    pub name: String,
    /// Drawn anew by each process.
    pub run: i64,
    /// Since when it is one of them; absent while it is still looking whether it may be.
    pub since: Option<Micros>,
    /// When it last beat.
    pub heartbeat: Micros,
    /// Whether it has beaten as often as it promised.
    pub alive: bool,
    /// The target that is its own broker, if it has one.
    pub embedded: Option<String>,
    /// How many leases it holds.
    pub holds: usize,
    /// The modules that it asks others to hand over.
    pub wants: Vec<ModuleName>,
}

/// What a process says of itself, a few times a second.
#[derive(Debug, Clone, Copy)]
pub struct Beat<'a> {
    /// Its `server.instance`.
    pub name: &'a str,
    /// Drawn anew by each process.
    pub run: i64,
    /// How long it counts as alive without another beat.
    pub lease: Duration,
    /// Whether it is one of them; false while it is still looking whether it may be.
    pub joined: bool,
    /// The target that is its own broker, if it has one.
    pub embedded: Option<&'a str>,
    /// How many leases it holds.
    pub holds: usize,
    /// The modules that it asks others to hand over.
    pub wants: &'a [ModuleName],
}

/// What a beat found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beaten {
    /// Whether it was accepted: nobody else lives under this name.
    pub ours: bool,
    /// What time it is by the database's clock.
    pub now: Micros,
    /// The others, dead ones included, by name; if it was not accepted, also who has the name.
    pub others: Vec<Instance>,
}

/// The table `instance`.
#[async_trait]
pub trait Instances {
    /// Says that a process lives, unless another one lives under its name, and looks at the others. Uses the
    /// numbering connection and its time-outs.
    async fn beat(&self, beat: &Beat<'_>) -> Result<Beaten>;

    /// All instances, by name.
    async fn instances(&self) -> Result<Vec<Instance>>;

    /// Takes a process out that ends. Uses the numbering connection and its time-outs.
    async fn leave(&self, name: &str, run: i64) -> Result<()>;

    /// Deletes instances that have been dead for so long. Returns how many.
    async fn forget_instances(&self, dead_for: Duration) -> Result<u64>;
}

/// As the column `wants` holds them.
pub(super) fn wants_text(wants: &[ModuleName]) -> String {
    let names: Vec<_> = wants.iter().map(ModuleName::as_str).collect();
    names.join(" ")
}

/// What a beat of `beat` found among all rows.
pub(super) fn beaten(beat: &Beat<'_>, ours: bool, now: Micros, mut all: Vec<Instance>) -> Beaten {
    all.retain(|one| one.name != beat.name || (!ours && one.run != beat.run));
    Beaten {
        ours,
        now,
        others: all,
    }
}
