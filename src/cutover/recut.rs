//! How a cohort is cut anew.

use crate::domain::{BasisPoints, Cohort, Members};

/// What is to change of a cohort. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recut {
    /// The share of the clients.
    pub share: Option<BasisPoints>,
    /// The whole list of those who are in whatever the share.
    pub include: Option<Members>,
    /// The whole list of those who are out whatever the share.
    pub exclude: Option<Members>,
}

impl Recut {
    /// Another share, with the lists as they are.
    pub fn share(share: BasisPoints) -> Self {
        Self {
            share: Some(share),
            ..Self::default()
        }
    }

    pub(super) fn apply(&self, cohort: &mut Cohort) {
        if let Some(share) = self.share {
            cohort.basis_points = share;
        }
        if let Some(include) = &self.include {
            cohort.include.clone_from(include);
        }
        if let Some(exclude) = &self.exclude {
            cohort.exclude.clone_from(exclude);
        }
    }
}
