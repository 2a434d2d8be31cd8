//! The targets that a log waits for.

use std::collections::HashSet;

use crate::{
    domain::{ModuleName, Standing},
    store::TargetRecord,
};

/// A configured target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Its name.
    pub name: String,
    /// The modules that it gets; absent = all.
    pub modules: Option<Vec<ModuleName>>,
}

impl Awaited {
    /// Whether it gets the changes of a module.
    pub(super) fn takes(&self, module: &ModuleName) -> bool {
        let modules = self.modules.as_ref();
        modules.is_none_or(|modules| modules.contains(module))
    }
}

/// The targets that nothing is kept for.
pub(super) fn retired(records: Vec<TargetRecord>) -> HashSet<String> {
    let retired = |record: &TargetRecord| record.standing == Standing::Retired;
    let records = records.into_iter().filter(retired);
    records.map(|record| record.target).collect()
}
