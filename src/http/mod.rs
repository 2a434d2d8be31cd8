//! HTTP: routers, extractors and errors; one file per endpoint.
//!
//! Invariants: axum stands in this room only; a handler reads its request, asks a room below and
//! writes its answer; an error's public text holds no SQL, path or secret.

mod body;
mod crowd;
mod description;
mod ending;
mod idle_timer;
mod object;
mod outflow;
mod path;
pub mod private;
mod problem;
pub mod public;
mod query;
pub mod serving;
mod strict;
pub mod tls;

pub use axum::Router;
pub use problem::Problem;
