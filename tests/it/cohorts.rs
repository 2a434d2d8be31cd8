//! Who is in a cohort: as Unleash decides it, and never thrown out by a larger share.

use changeover::domain::{
    Audience, BasisPoints, Choice, Client, Cohort, Members, ModuleName, bucket, hash,
};
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

fn is_in(cohort: &Cohort, module: &ModuleName, client_id: &str) -> bool {
    cohort.choose(module, &Client::named(client_id)).is_in()
}

fn members(entries: &[&str]) -> Members {
    let entries: Vec<String> = entries.iter().copied().map(str::to_owned).collect();
    entries.try_into().unwrap()
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
        prop_assert!(!is_in(&small, &module, &client_id) || is_in(&large, &module, &client_id));
    }

    #[test]
    fn everyone_with_an_id_is_in_at_all_and_nobody_at_none(client_id in ".+") {
        let module: ModuleName = "commission".parse().unwrap();
        prop_assert!(is_in(&cohort(10_000), &module, &client_id));
        prop_assert!(!is_in(&cohort(0), &module, &client_id));
    }
}

#[test]
fn a_client_without_an_id_is_never_in() {
    let module: ModuleName = "commission".parse().unwrap();
    let all = Cohort {
        include: members(&["agent:*"]),
        ..cohort(10_000)
    };
    let nobody = Client {
        agent: b"Terminal/3",
        ..Client::default()
    };
    assert!(!all.choose(&module, &nobody).is_in());
}

#[test]
fn the_lists_go_before_the_share_and_exclude_before_include() {
    let module: ModuleName = "commission".parse().unwrap();
    let audiences = [Audience::everyone(), Audience::stored("u1")];
    let client = Client {
        id: "terminal-1",
        audiences: &audiences,
        agent: b"Terminal/3.2 (Windows)",
        address: Some([10, 1, 2, 3].into()),
    };
    let names = [
        "client:terminal-1",
        "audience:u1",
        "agent:Terminal/3.*",
        "network:10.1.0.0/16",
    ];
    let others = [
        "client:terminal-2",
        "audience:u2",
        "agent:Terminal/2.*",
        "network:10.2.0.0/16",
    ];
    for share in [0, 10_000] {
        let by_share = if share == 0 {
            Choice::Beyond
        } else {
            Choice::Within
        };
        let choose = |include: &[&str], exclude: &[&str]| {
            let cohort = Cohort {
                include: members(include),
                exclude: members(exclude),
                ..cohort(share)
            };
            cohort.choose(&module, &client)
        };
        assert_eq!(choose(&others, &others), by_share);
        for name in names {
            assert_eq!(choose(&[name], &others), Choice::Included, "{name}");
            for other in names {
                assert_eq!(choose(&[other], &[name]), Choice::Excluded, "{name}");
            }
        }
    }
}
