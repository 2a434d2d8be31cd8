//! Who is in a cohort: as Unleash decides it, and never thrown out by a larger share.

use changeover::domain::{BasisPoints, Cohort, ModuleName, bucket, hash};
use proptest::prelude::*;

const VECTORS: &str = include_str!("data/cohort-vectors.tsv");

#[test]
fn every_vector_holds() {
    let mut count = 0;
    for line in VECTORS.lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let [module, client_id, murmur3, percent, expected] = columns[..] else {
            panic!("{line:?} must have five columns");
        };
        let percent: u16 = percent.parse().unwrap();
        assert_eq!(hash(module, client_id).to_string(), murmur3, "{line}");
        assert_eq!(bucket(module, client_id).to_string(), expected, "{line}");
        // In at every whole percent from Unleash's on, out below it.
        assert!(bucket(module, client_id) < percent * 100, "{line}");
        assert!(bucket(module, client_id) >= (percent - 1) * 100, "{line}");
        count += 1;
    }
    assert_eq!(count, 200);
}

fn cohort(basis_points: u16) -> Cohort {
    Cohort::share(BasisPoints::new(basis_points).unwrap())
}

proptest! {
    #[test]
    fn a_smaller_share_is_a_subset(
        module in "[a-z0-9][a-z0-9_-]{0,31}",
        client_id in ".*",
        p in 0_u16..=10_000,
        q in 0_u16..=10_000,
    ) {
        let module: ModuleName = module.parse().unwrap();
        let (small, large) = (cohort(p.min(q)), cohort(p.max(q)));
        prop_assert!(!small.contains(&module, &client_id) || large.contains(&module, &client_id));
    }

    #[test]
    fn everyone_with_an_id_is_in_at_all_and_nobody_at_none(client_id in ".+") {
        let module: ModuleName = "commission".parse().unwrap();
        prop_assert!(cohort(10_000).contains(&module, &client_id));
        prop_assert!(!cohort(0).contains(&module, &client_id));
    }
}

#[test]
fn a_client_without_an_id_is_never_in() {
    let module: ModuleName = "commission".parse().unwrap();
    assert!(!cohort(10_000).contains(&module, ""));
}
