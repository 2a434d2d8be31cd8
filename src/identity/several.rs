//! A caller that asks for several modules in one request.
//!
//! Invariant: one request is of one caller, whatever else it brings along: what one credential grants is never added to what another does.

use super::{Accepted, Asking, Identity, Who};
use crate::domain::ModuleName;

impl Identity {
    /// Whether a module takes the caller that a request of several modules was found to be of.
    pub async fn takes(&self, module: &ModuleName, asking: &Asking<'_>, who: &Who) -> bool {
        let accepted = self.accepted_by(module);
        if accepted == Accepted::ALL {
            return true;
        }
        match who.caller() {
            Some(caller) => accepted.takes(caller.by),
            // An open caller does not say by which entry of the configuration it is one.
            None => self
                .who(asking, accepted)
                .await
                .is_ok_and(|found| found == *who),
        }
    }
}
