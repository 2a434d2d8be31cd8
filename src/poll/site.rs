//! What stands at one path, compiled: one module, or several of which the request chooses.
//!
//! Invariant: all modules of a site share one contract but for what is the module's own.

use std::{collections::HashMap, sync::Arc};

use super::{
    batch::{Batch, BatchSlot},
    contract::{self, Contract},
    source::Source,
    sunset::Notice,
};
use crate::{
    config::{Config, endpoints, modules},
    domain::{Limits, ModuleName},
    telemetry::usage::NO_MODULE,
};

/// What stands at one path, for some methods.
#[derive(Debug, Clone)]
pub struct Site {
    /// The module's; with several modules the one of no module, for what concerns them all.
    pub(super) contract: Contract,
    pub(super) serves: Serves,
}

/// Whom a site serves.
#[derive(Debug, Clone)]
pub(super) enum Serves {
    /// The module of the contract.
    Module,
    /// The one that the request names there.
    Named(Source, Members),
    /// All that the request names.
    Batch(Batch, Members),
}

/// Contracts by what clients call their modules.
pub(super) type Members = HashMap<Box<str>, Contract>;

/// A key below `endpoints[]`, and what is wrong there.
type Problem = (String, String);

impl From<Contract> for Site {
    fn from(contract: Contract) -> Self {
        Self {
            contract,
            serves: Serves::Module,
        }
    }
}

impl Site {
    /// The path, with `{name}` for a captured segment.
    pub fn path(&self) -> &str {
        self.contract.path()
    }

    /// Whether it answers at a path.
    pub(super) fn stands_at(&self, path: &str) -> bool {
        self.contract.paths().any(|own| own == path)
    }

    /// The methods.
    pub fn methods(&self) -> &[modules::Method] {
        self.contract.methods()
    }

    /// Compiles one of `[[endpoints]]`. Reports every problem with its key.
    pub fn compile(endpoint: &endpoints::Endpoint, config: &Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let modules = served(endpoint, config, &mut problems);
        let site = modules.first().and_then(|first| {
            let mut found = Vec::new();
            let site = compile(endpoint, first, &config.limits, &mut found);
            problems.extend(found.into_iter().map(|(key, why)| (key.to_owned(), why)));
            site
        });
        if endpoint.poll.cursor.kind == modules::CursorKind::None {
            stateless(&modules, &mut problems);
        }
        match site {
            Some(site) if problems.is_empty() => Ok(site.with_members(endpoint, &modules)),
            _ => Err(problems),
        }
    }

    fn with_members(mut self, endpoint: &endpoints::Endpoint, served: &[&modules::Module]) -> Self {
        let mut members = Members::new();
        for module in served {
            for called in endpoint.names_of(&module.name) {
                members.insert(called.into(), self.member(module, called));
            }
        }
        match &mut self.serves {
            Serves::Named(_, all) | Serves::Batch(_, all) => *all = members,
            Serves::Module => {
                let only = served.first().map(|module| endpoint.names_of(&module.name));
                let called = only.and_then(|names| names.first().copied());
                let member = called.and_then(|called| members.remove(called));
                self.contract = member.unwrap_or(self.contract);
            }
        }
        self
    }

    fn member(&self, module: &modules::Module, called: &str) -> Contract {
        let contract = Contract {
            module: module.module_name(),
            called: Some(called.into()),
            // Its problems are reported where the module stands.
            sunset: Notice::compile(&module.sunset, &mut Vec::new()),
            state: module.state,
            ..self.contract.clone()
        };
        contract.with_quirks_counted_for(&module.name)
    }
}

fn served<'c>(
    endpoint: &endpoints::Endpoint,
    config: &'c Config,
    problems: &mut Vec<Problem>,
) -> Vec<&'c modules::Module> {
    if endpoint.modules.is_empty() {
        problems.push((
            "modules".to_owned(),
            "name the modules that it serves".to_owned(),
        ));
    }
    let mut served = Vec::new();
    for (n, name) in endpoint.modules.iter().enumerate() {
        let valid = name.parse::<ModuleName>().is_ok();
        match config
            .modules
            .iter()
            .find(|module| valid && module.name == *name)
        {
            Some(module) => served.push(module),
            None => problems.push((
                format!("modules[{n}]"),
                format!("there is no module `{name}`"),
            )),
        }
    }
    served
}

/// `none` is answered from the state.
fn stateless(served: &[&modules::Module], problems: &mut Vec<Problem>) {
    for module in served.iter().filter(|module| !module.state) {
        let name = &module.name;
        let why =
            format!("`none` is answered from the state, and the module `{name}` has state = false");
        problems.push(("poll.cursor.kind".to_owned(), why));
    }
}

fn compile(
    endpoint: &endpoints::Endpoint,
    first: &modules::Module,
    limits: &Limits,
    problems: &mut Vec<contract::Problem>,
) -> Option<Site> {
    let none = Notice::compile(&modules::Sunset::default(), problems);
    let (mut contract, serves) = match (&endpoint.module, &endpoint.batch) {
        (Some(field), None) => {
            let contract = contract::compile(first, &endpoint.poll, none, limits, problems);
            let source = Source::compile(field.place, &field.name, &endpoint.poll.path);
            let source = source
                .map_err(|why| problems.push(("module.name", why)))
                .ok();
            (contract?, Serves::Named(source?, Members::new()))
        }
        (None, None) if endpoint.modules.len() == 1 => {
            let contract = contract::compile(first, &endpoint.poll, none, limits, problems);
            (contract?, Serves::Module)
        }
        (None, Some(config)) => {
            let poll = Batch::poll_of_one(&endpoint.poll);
            let contract = contract::compile(first, &poll, none, limits, problems);
            let batch = Batch::compile(config, &endpoint.poll.response.error, problems);
            check_batch(endpoint, batch.as_ref(), problems);
            (contract?, Serves::Batch(batch?, Members::new()))
        }
        _ => {
            let why = "give either `module` or `batch` to an endpoint of several modules";
            problems.push(("module", why.to_owned()));
            return None;
        }
    };
    let also = match &serves {
        Serves::Named(source, _) => Some(source.clone()),
        Serves::Batch(batch, _) => Some(batch.source()),
        Serves::Module => None,
    };
    contract.settle_body(also.as_ref(), problems);
    if let Serves::Batch(..) = &serves {
        contract.fields.cursor = None;
    }
    if let (Some(field), Some(compat)) = (&endpoint.module, &contract.compat) {
        contract.compat = Some(Arc::new(compat.also_for(field)));
    }
    contract.called = None;
    Some(Site {
        contract: contract.with_quirks_counted_for(NO_MODULE),
        serves,
    })
}

/// What a contract of one module may say, and of a batch may not.
fn check_batch(
    endpoint: &endpoints::Endpoint,
    batch: Option<&Batch>,
    problems: &mut Vec<contract::Problem>,
) {
    let poll = &endpoint.poll;
    let mut refuse = |key, why: &str| problems.push((key, why.to_owned()));
    if poll.cursor.kind == modules::CursorKind::Etag {
        let why = "`etag` is one cursor in a header, and a batch has many in its body";
        refuse("poll.cursor.kind", why);
    }
    if poll.wait.is_some() {
        refuse("poll.wait", "a batch is answered at once: leave it out");
    }
    if poll.floor_ms > 0 {
        refuse("poll.floor_ms", "a batch has no floor: leave it out");
    }
    if poll.response.empty.is_some() || poll.response.empty_status.is_some() {
        let why = "each module of a batch has its `body`, also with nothing in it: leave it out";
        refuse("poll.response.empty", why);
    }
    let is_time = poll.cursor.kind.tick().is_some();
    if is_time && batch.is_some_and(|batch| batch.body.uses(BatchSlot::ServerTimeMs)) {
        let why = "`$server_time_ms` may be sent back as a cursor, and each module has its own: put it into response.body";
        refuse("batch.body", why);
    }
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
