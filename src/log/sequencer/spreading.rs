//! How modules are spread over the replicas: by fair shares of what is free, and by asking whoever holds more.
//!
//! Invariant: a module moves from a living holder only to one that holds at least two fewer, so each move makes the shares more
//! even, and when they are even nothing moves.

use std::collections::BTreeMap;

use crate::{
    domain::ModuleName,
    store::{Head, Instance, Lease},
};

/// So many modules a replica takes at once when they are free. What is beyond it is left to the others for one try.
pub(super) fn fair_share(modules: usize, others: usize) -> usize {
    modules.div_ceil(others + 1)
}

/// By how much somebody must hold more, before a module moves.
const UNEVEN: usize = 2;

/// Whether asking is worth a look at the heads.
pub(super) fn is_uneven(holds: usize, others: &[Instance]) -> bool {
    others.iter().any(|other| other.holds >= holds + UNEVEN)
}

/// Which modules a replica that holds so many asks for: at most `most`, each of whoever holds most at that point.
pub(super) fn wants(
    mut holds: usize,
    served: &[ModuleName],
    others: &[Instance],
    heads: &[Head],
    most: usize,
) -> Vec<ModuleName> {
    let mut counts: BTreeMap<&str, usize> = others
        .iter()
        .map(|other| (other.name.as_str(), other.holds))
        .collect();
    let mut wanted = Vec::new();
    while wanted.len() < most {
        let heaviest = |head: &&Head| {
            let holder = head.lease_holder.as_deref();
            let count = holder.and_then(|holder| counts.get(holder)).copied();
            count.filter(|count| *count >= holds + UNEVEN && !wanted.contains(&head.module))
        };
        let theirs = heads
            .iter()
            .filter(|head| !head.lease_vacant && served.contains(&head.module));
        let Some((_, head)) = theirs
            .filter_map(|head| Some((heaviest(&head)?, head)))
            .max_by(|(one, a), (other, b)| one.cmp(other).then(b.module.cmp(&a.module)))
        else {
            break;
        };
        if let Some(count) = head
            .lease_holder
            .as_deref()
            .and_then(|holder| counts.get_mut(holder))
        {
            *count -= 1;
        }
        holds += 1;
        wanted.push(head.module.clone());
    }
    wanted
}

/// Which of the held leases go to whom: to those that ask and hold little enough, the poorest first. `holds` are all that
/// this replica keeps, `held` those that it may give.
pub(super) fn grants(holds: usize, held: &[Lease], others: &[Instance]) -> Vec<(Lease, String)> {
    let mut asking: Vec<_> = others.iter().filter(|o| !o.wants.is_empty()).collect();
    asking.sort_by_key(|other| other.holds);
    let mut granted: Vec<(Lease, String)> = Vec::new();
    for other in asking {
        let mut theirs = other.holds;
        for module in &other.wants {
            let is_granted = granted.iter().any(|(lease, _)| lease.module == *module);
            let lease = held.iter().find(|lease| lease.module == *module);
            let Some(lease) = lease.filter(|_| !is_granted) else {
                continue;
            };
            if holds - granted.len() < theirs + UNEVEN {
                break;
            }
            granted.push((lease.clone(), other.name.clone()));
            theirs += 1;
        }
    }
    granted
}

/// Whom a replica that ends leaves its leases to: each to whoever holds least. Without others nobody is named.
pub(super) fn legacy(held: &[Lease], others: &[Instance]) -> BTreeMap<String, Vec<Lease>> {
    let mut counts: Vec<(usize, &str)> = others
        .iter()
        .map(|other| (other.holds, other.name.as_str()))
        .collect();
    let mut left = BTreeMap::<String, Vec<Lease>>::new();
    for lease in held {
        let Some(least) = counts.iter_mut().min() else {
            break;
        };
        left.entry(least.1.to_owned())
            .or_default()
            .push(lease.clone());
        least.0 += 1;
    }
    left
}

#[cfg(test)]
#[path = "spreading_tests.rs"]
mod tests;
