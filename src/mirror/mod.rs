//! The mirror.
pub mod event;
pub mod ledger;
pub mod mqtt;
pub mod topic;
