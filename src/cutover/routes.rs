//! Which targets get which module, and which of them clients may be told.

use std::collections::BTreeMap;

use crate::{
    domain::{BasisPoints, ModuleName, Routing, Standing, Unroutable},
    store::TargetRecord,
};

/// The targets of each module, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    of: BTreeMap<ModuleName, Vec<String>>,
}

/// A share of a module's clients that is to be told a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The target.
    pub target: String,
    /// How many of all clients.
    pub share: BasisPoints,
}

/// Why clients cannot be told a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The target does not get the module, or there is none of this name.
    #[error("target `{}` does not get the module; those that do: {}", target.escape_debug(), list(others))]
    NotFed {
        /// What was asked for.
        target: String,
        /// The targets that get it.
        others: Vec<String>,
    },
    /// Nothing is sent to the target.
    #[error("target {target} is {standing}: nothing is sent to it; resume it first")]
    Resting {
        /// What was asked for.
        target: String,
        /// How it stands.
        standing: Standing,
    },
    /// The clients that are on their way already do not allow it.
    #[error(transparent)]
    Unroutable(#[from] Unroutable),
}

impl Routes {
    /// The targets of each module, in the order of the configuration.
    pub const fn new(of: BTreeMap<ModuleName, Vec<String>>) -> Self {
        Self { of }
    }

    /// The targets that get a module.
    pub fn targets(&self, module: &ModuleName) -> &[String] {
        self.of.get(module).map_or(&[], Vec::as_slice)
    }

    /// What clients are told of whom nobody has said anything; absent if no target gets the module.
    pub fn first(&self, module: &ModuleName) -> Option<&str> {
        self.targets(module).first().map(String::as_str)
    }

    /// The target that a client is told: the routed one, or the first that is fed if nothing is sent to that one now.
    pub fn choose<'a>(
        &'a self,
        module: &ModuleName,
        routing: &'a Routing,
        client_id: &str,
        is_fed: impl Fn(&str) -> bool,
    ) -> Option<&'a str> {
        self.told(
            module,
            routing.target(self.first(module)?, client_id),
            is_fed,
        )
    }

    /// What those are told who are routed to a target.
    fn told<'a>(
        &'a self,
        module: &ModuleName,
        routed: &'a str,
        is_fed: impl Fn(&str) -> bool,
    ) -> Option<&'a str> {
        let targets = self.targets(module);
        let usable = |target: &&str| targets.iter().any(|one| one == target) && is_fed(target);
        let others = targets.iter().map(String::as_str);
        std::iter::once(routed).chain(others).find(usable)
    }

    /// The targets that the module's clients are told, each once: where nothing is sent to the one that they are routed to, the one
    /// that takes its place.
    pub fn told_targets<'a>(
        &'a self,
        module: &ModuleName,
        routing: &'a Routing,
        is_fed: impl Fn(&str) -> bool,
    ) -> Vec<&'a str> {
        let Some(first) = self.first(module) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        for (routed, share) in routing.shares(first) {
            let target = self.told(module, routed, &is_fed);
            let target = target.filter(|_| share > BasisPoints::default());
            if let Some(target) = target.filter(|target| !told.contains(target)) {
                told.push(target);
            }
        }
        told
    }

    /// The targets that the module's clients are routed to and that do not get it: their names have gone from the configuration.
    pub fn strangers<'a>(&self, module: &ModuleName, routing: &'a Routing) -> Vec<&'a str> {
        let targets = self.targets(module);
        let named = routing.named();
        named
            .filter(|name| !targets.iter().any(|one| one == name))
            .collect()
    }

    /// Whether clients of the module are told a target: those who are routed to it, and those whose own target is not fed, or
    /// not configured any more. Not if there is no other that could take them.
    pub fn leads_to(
        &self,
        module: &ModuleName,
        routing: &Routing,
        target: &str,
        is_fed: impl Fn(&str) -> bool,
    ) -> bool {
        let Some(first) = self.first(module) else {
            return false;
        };
        let mut shares = routing.shares(first).into_iter();
        let mut others = self.targets(module).iter().filter(|one| *one != target);
        others.any(|other| is_fed(other))
            && shares.any(|(one, share)| {
                share > BasisPoints::default() && self.told(module, one, &is_fed) == Some(target)
            })
    }

    /// Whether a target is the only one that is fed of those that get the module.
    pub fn is_last(
        &self,
        module: &ModuleName,
        target: &str,
        is_fed: impl Fn(&str) -> bool,
    ) -> bool {
        let mut fed = self.targets(module).iter().filter(|one| is_fed(one));
        fed.next().is_some_and(|only| only == target) && fed.next().is_none()
    }

    /// The routing after a step. `records` are those of the targets that somebody has acted on.
    pub(super) fn step(
        &self,
        module: &ModuleName,
        routing: &Routing,
        route: &Route,
        records: &[TargetRecord],
    ) -> Result<Routing, NoRoute> {
        let targets = self.targets(module);
        let asked = || route.target.clone();
        let known = targets.contains(&route.target);
        let Some(first) = self.first(module).filter(|_| known) else {
            return Err(NoRoute::NotFed {
                target: asked(),
                others: targets.to_vec(),
            });
        };
        let record = records.iter().find(|record| record.target == route.target);
        let standing = record.map_or(Standing::Active, |record| record.standing);
        // The way back from a target is open however it stands.
        if standing != Standing::Active && route.share > BasisPoints::default() {
            return Err(NoRoute::Resting {
                target: asked(),
                standing,
            });
        }
        // Who was told a target that is gone is told another one already.
        let known = |target: &str| targets.iter().any(|one| one == target);
        Ok(routing
            .among(known)
            .toward(first, &route.target, route.share)?)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Moving;

    fn routes() -> (ModuleName, Routes) {
        let module: ModuleName = "orders".parse().unwrap();
        let targets = vec!["old".to_owned(), "new".to_owned()];
        let routes = Routes::new(BTreeMap::from([(module.clone(), targets)]));
        (module, routes)
    }

    fn to(target: &str, percent: u16) -> Route {
        Route {
            target: target.to_owned(),
            share: BasisPoints::new(percent * 100).unwrap(),
        }
    }

    #[test]
    fn nobody_is_told_a_target_that_gets_nothing() {
        let (module, routes) = routes();
        let retired = TargetRecord {
            standing: Standing::Retired,
            ..TargetRecord::untouched("new")
        };
        let none = Routing::default();
        let step = |route: &Route, records: &[TargetRecord]| {
            let stepped = routes.step(&module, &none, route, records);
            stepped.map_err(|why| why.to_string())
        };
        insta::assert_snapshot!(step(&to("third", 5), &[]).unwrap_err(), @"target `third` does not get the module; those that do: old, new");
        insta::assert_snapshot!(step(&to("new", 5), std::slice::from_ref(&retired)).unwrap_err(), @"target new is retired: nothing is sent to it; resume it first");
        assert!(step(&to("new", 0), &[retired]).is_ok());

        let all = step(&to("new", 100), &[]).unwrap();
        let choose = |is_fed: fn(&str) -> bool| routes.choose(&module, &all, "c", is_fed);
        assert_eq!(choose(|_| true), Some("new"));
        assert_eq!(choose(|target| target == "old"), Some("old"));
        assert_eq!(choose(|_| false), None);
        let gone = Routing {
            target: Some("gone".to_owned()),
            moving: None,
        };
        assert_eq!(routes.choose(&module, &gone, "c", |_| true), Some("old"));
    }

    #[test]
    fn each_target_that_is_told_is_named_once() {
        let (module, routes) = routes();
        let none = Routing::default();
        let some = none.toward("old", "new", to("", 5).share).unwrap();
        let told = |routing, fed: fn(&str) -> bool| -> Vec<String> {
            let told = routes.told_targets(&module, routing, fed);
            told.into_iter().map(str::to_owned).collect()
        };
        assert_eq!(told(&none, |_| true), ["old"]);
        assert_eq!(told(&some, |_| true), ["old", "new"]);
        assert_eq!(told(&some, |target| target == "new"), ["new"]);
        assert_eq!(told(&some, |_| false), [""; 0]);
    }

    #[test]
    fn who_has_clients_is_known() {
        let (module, routes) = routes();
        let none = Routing::default();
        let some = none.toward("old", "new", to("", 5).share).unwrap();
        let all = some.toward("old", "new", BasisPoints::ALL).unwrap();
        let leads =
            |routing| ["old", "new"].map(|t| routes.leads_to(&module, routing, t, |_| true));
        assert_eq!(leads(&none), [true, false]);
        assert_eq!(leads(&some), [true, true]);
        assert_eq!(leads(&all), [false, true]);
        assert!(!routes.leads_to(&module, &all, "new", |target| target == "new"));
        let is_last =
            |fed: fn(&str) -> bool| ["old", "new"].map(|t| routes.is_last(&module, t, fed));
        assert_eq!(is_last(|_| true), [false, false]);
        assert_eq!(is_last(|target| target == "new"), [false, true]);
        assert_eq!(is_last(|_| false), [false, false]);
        // Who was routed to one that rests, or has gone, is at another.
        assert!(!routes.leads_to(&module, &none, "old", |target| target == "new"));
        let gone = Routing {
            target: Some("gone".to_owned()),
            moving: None,
        };
        assert_eq!(leads(&gone), [true, false]);
        assert_eq!(routes.strangers(&module, &gone), ["gone"]);
        assert!(routes.strangers(&module, &all).is_empty());
    }

    #[test]
    fn a_target_that_has_gone_is_in_nobodys_way() {
        let (module, routes) = routes();
        let halfway = Routing {
            target: Some("old".to_owned()),
            moving: Some(Moving {
                target: "gone".to_owned(),
                basis_points: BasisPoints::new(5000).unwrap(),
            }),
        };
        let all = Routing {
            target: Some("gone".to_owned()),
            moving: None,
        };
        for routing in [halfway, all] {
            let moved = routes.step(&module, &routing, &to("new", 5), &[]).unwrap();
            assert_eq!(moved.to_string(), "old, 5 % new");
        }
    }
}
