//! What one owner may take of a desk: a caller, or an address where callers are not told apart.
//!
//! Invariant: nobody takes a larger part of the places to wait than of the clients, but for the few places that everybody has; so it takes as many owners to
//! shut others out of the one as of the other.

use crate::{config::dynsec::Dynsec, identity::Who};

/// Parts of all clients of which a caller gets one,
const SHARES: usize = 10;
/// and which is no less than this.
const LEAST_SHARE: usize = 200;
/// Sessions of one owner that may wait wherever half of the places are as many: a shop's terminals are switched on together.
const LEAST_PLACES: usize = 10;

/// Clients that one caller may have; where callers are not told apart, one address.
pub(super) fn share(settings: &Dynsec, who: &Who) -> usize {
    match who {
        Who::Known(_) => (settings.max_clients / SHARES).max(LEAST_SHARE),
        Who::Open => settings.max_clients_per_address,
    }
}

/// Sessions of an owner with this share of the clients that may wait at once, those for the same client too.
pub(super) fn places(settings: &Dynsec, share: usize) -> usize {
    let (clients, places) = (settings.max_clients, settings.max_waiting);
    let part = share.min(clients).saturating_mul(places) / clients;
    part.max(LEAST_PLACES.min(places.div_ceil(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::known;

    #[test]
    fn a_share_is_no_less_than_a_shop_needs() {
        let caller = known("u1", &[]);
        let mut settings = Dynsec {
            max_clients_per_address: 300,
            ..Dynsec::default()
        };
        for (max_clients, wanted) in [(10, 200), (2_000, 200), (10_000, 1_000)] {
            settings.max_clients = max_clients;
            assert_eq!(share(&settings, &caller), wanted);
        }
        assert_eq!(share(&settings, &Who::Open), 300, "of an address");
    }

    #[test]
    fn places_to_wait_are_shared_as_clients_are() {
        let mut settings = Dynsec::default();
        let of_address = share(&settings, &Who::Open);
        assert_eq!(places(&settings, of_address), 100, "as it comes: a tenth");
        // One who may have all clients may have all places.
        assert_eq!(places(&settings, 10_000), 1_000);
        assert_eq!(places(&settings, 100_000), 1_000);
        // A few for everybody, but not all of them.
        for (max_waiting, wanted) in [(1_000, 10), (20, 10), (5, 3), (2, 1), (1, 1)] {
            settings.max_waiting = max_waiting;
            assert_eq!(places(&settings, 1), wanted, "{max_waiting}");
        }
    }
}
