//! All contracts of a configuration at once.

use super::{conflicts, contract::Contract};
use crate::config::Config;

/// The contracts of all modules that have an endpoint, or every problem with its key path.
pub fn compile(config: &Config) -> Result<Vec<Contract>, Vec<(String, String)>> {
    let mut contracts = Vec::new();
    let mut problems = Vec::new();
    for (index, module) in config.modules.iter().enumerate() {
        match Contract::compile(module, &config.limits) {
            Ok(contract) => contracts.extend(contract),
            Err(found) => {
                let at = |(key, why)| (format!("modules[{index}].{key}"), why);
                problems.extend(found.into_iter().map(at));
            }
        }
    }
    for (module, why) in conflicts(&contracts) {
        let index = config.modules.iter().position(|m| m.name == module);
        let index = index.unwrap_or_default();
        problems.push((format!("modules[{index}].poll.path"), why));
    }
    if problems.is_empty() {
        Ok(contracts)
    } else {
        Err(problems)
    }
}

/// Every problem of the contracts, for `check`.
pub fn problems(config: &Config) -> Vec<(String, String)> {
    compile(config).err().unwrap_or_default()
}
