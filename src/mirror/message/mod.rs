//! What is said over MQTT, and where: the events, the retained message of a module, the topics, and their description.

pub(super) mod asyncapi;
pub(super) mod base32;
pub mod binary_event;
pub(super) mod bookmark;
mod change_event;
pub mod event;
pub(super) mod pointers;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;
pub mod topic;

pub use asyncapi::{AsyncApi, Bound};
pub use change_event::ChangeEvent;
pub use pointers::{PointerEvent, Pointers};
