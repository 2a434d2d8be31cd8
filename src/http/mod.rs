//! HTTP: the only room that knows axum. A handler reads the request, asks the room below, and
//! writes the answer.
//!
//! Invariant: an error's text holds no SQL, paths or secrets.

pub mod problem;
pub mod public;
