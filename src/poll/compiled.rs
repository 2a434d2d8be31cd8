//! All contracts of a configuration at once.

use super::{conflicts, contract::Contract, site::Site};
use crate::config::{Config, modules::Method};

/// What stands at each path, or every problem with its key path.
pub fn compile(config: &Config) -> Result<Vec<Site>, Vec<(String, String)>> {
    let mut sites = Vec::new();
    let mut problems = Vec::new();
    for (index, module) in config.modules.iter().enumerate() {
        let key = format!("modules[{index}]");
        match Contract::compile(module, &config.limits) {
            Ok(contract) => sites.extend(contract.map(|contract| (key, Site::from(contract)))),
            Err(found) => problems.extend(found.into_iter().map(|problem| below(&key, problem))),
        }
    }
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let key = format!("endpoints[{index}]");
        match Site::compile(endpoint, config) {
            Ok(site) => sites.push((key, site)),
            Err(found) => problems.extend(found.into_iter().map(|problem| below(&key, problem))),
        }
    }
    problems.extend(conflicts(&sites));
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut sites: Vec<_> = sites.into_iter().map(|(_, site)| site).collect();
    tell_what_is_allowed(&mut sites);
    Ok(sites)
}

/// Every problem of the contracts, for `check`.
pub fn problems(config: &Config) -> Vec<(String, String)> {
    compile(config).err().unwrap_or_default()
}

fn below(key: &str, (problem, why): (impl AsRef<str>, String)) -> (String, String) {
    (format!("{key}.{}", problem.as_ref()), why)
}

/// A refused method is told of all that are allowed at its path, by whichever contract.
fn tell_what_is_allowed(sites: &mut [Site]) {
    let all: Vec<(String, Vec<Method>)> = sites
        .iter()
        .map(|site| (site.path().to_owned(), site.methods().to_vec()))
        .collect();
    for site in sites {
        let here = all.iter().filter(|(path, _)| path == site.path());
        site.contract.allowed = here.flat_map(|(_, methods)| methods.clone()).collect();
    }
}
