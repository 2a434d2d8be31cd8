//! The messages and answers of a gateway as text, read into what the rule works with.
//!
//! Members that are not known are passed over: a gateway may say more tomorrow. A value is kept byte for byte.

mod answer;
mod event;
mod session;
#[cfg(test)]
mod tests;

pub use answer::Polled;

use crate::domain::Invalid;

/// Why a text could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON of the shape that the gateway writes.
    #[error("not as the gateway writes it: {0}")]
    Shape(#[from] serde_json::Error),
    /// A value that may not be.
    #[error(transparent)]
    Value(#[from] Invalid),
}
