//! Whom an act would move, as a dry run says it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::cutover::{Moved, Preview};

/// What the act would change for the clients that are known of: those of the census that any replica has seen within `census.keep`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Preview)]
pub struct PreviewView {
    known: usize,
    /// False if there are more, which were not looked at.
    complete: bool,
    /// Who polls and would take the push.
    to_push: MovedView,
    /// Who takes the push and would poll again.
    to_poll: MovedView,
}

/// Clients that would be moved one way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Moved)]
pub struct MovedView {
    clients: usize,
    /// Some of their ids.
    #[schema(max_items = 10)]
    sample: Vec<String>,
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        Self {
            known: preview.known,
            complete: preview.is_complete,
            to_push: preview.to_push.into(),
            to_poll: preview.to_poll.into(),
        }
    }
}

impl From<Moved> for MovedView {
    fn from(moved: Moved) -> Self {
        Self {
            clients: moved.count,
            sample: moved.sample,
        }
    }
}
