//! How many connections each address has.
//!
//! Invariant: an address is remembered as long as it has a connection, so memory is bounded by the places of the listener. Without a
//! limit nothing is counted.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::{Network, sender};

/// How many each has.
type Seated = Mutex<HashMap<IpAddr, usize>>;

/// The connections of a listener, by address.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    /// 0 = no limit.
    most: usize,
    /// Who speaks for many.
    proxies: Arc<[Network]>,
    seated: Arc<Seated>,
}

/// One connection. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Option<(Arc<Seated>, IpAddr)>);

impl Crowd {
    pub(super) fn new(most: usize, proxies: Arc<[Network]>) -> Self {
        Self {
            most,
            proxies,
            seated: Arc::default(),
        }
    }

    /// `None` if this address has as many as it may.
    pub(super) fn seat(&self, address: IpAddr) -> Option<Seat> {
        let is_proxy = || self.proxies.iter().any(|range| range.contains(address));
        if self.most == 0 || is_proxy() {
            return Some(Seat(None));
        }
        let sender = sender(address);
        let mut seated = lock(&self.seated);
        let count = seated.entry(sender).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat(Some((Arc::clone(&self.seated), sender))))
    }
}

fn lock(seated: &Seated) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    seated.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((seated, sender)) = &self.0 else {
            return;
        };
        if let Entry::Occupied(mut count) = lock(seated).entry(*sender) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_so_many_and_those_who_left_are_forgotten() {
        let crowd = Crowd::new(2, Arc::from(["10.0.0.0/8".parse().unwrap()]));
        let at = |text: &str| crowd.seat(text.parse().unwrap());
        let first = at("192.0.2.1").unwrap();
        let second = at("::ffff:192.0.2.1").unwrap();
        assert!(at("192.0.2.1").is_none());
        let other = at("192.0.2.2").unwrap();
        drop(first);
        let third = at("192.0.2.1").unwrap();
        let _proxied = [(); 3].map(|()| at("10.0.0.1").unwrap());
        assert_eq!(lock(&crowd.seated).len(), 2);
        drop((second, third, other));
        assert!(lock(&crowd.seated).is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let crowd = Crowd::new(0, Arc::default());
        let _seats = [(); 9].map(|()| crowd.seat(IpAddr::from([192, 0, 2, 1])).unwrap());
        assert!(lock(&crowd.seated).is_empty());
    }
}
