//! What is taken as a pass, and what is not.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::atomic::{AtomicI64, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::{
    identity::{Accepted, Caller, ClientIds, testing},
    store::{SigningKey, SigningKeysRead},
};

const CLIENT: &str = "ABCDEFGHIJKL-terminal-1";
const HOUR: Duration = Duration::from_hours(1);

/// A clock that stands where it was put.
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(Ordering::Relaxed))
    }
}

struct Bench {
    passes: Passes,
    ring: Arc<KeyRing>,
    clock: Arc<Standing>,
}

fn key(id: u64, signs_from: i64) -> SigningKey {
    SigningKey {
        id: format!("{id:016x}"),
        secret: vec![u8::try_from(id).unwrap(); 32],
        signs_from: seconds(signs_from),
        retires_at: None,
    }
}

fn seconds(seconds: i64) -> Micros {
    Micros::new(seconds * 1_000_000)
}

impl Bench {
    fn of(identity: Identity) -> Self {
        let (ring, clock) = (
            Arc::<KeyRing>::default(),
            Arc::new(Standing(AtomicI64::new(0))),
        );
        let passes = Passes::new(Arc::new(identity), Arc::clone(&ring), clock.clone(), HOUR);
        let bench = Self {
            passes,
            ring,
            clock,
        };
        bench.at(1_000);
        bench.adopt(vec![key(1, 0)], 1_000);
        bench
    }

    fn known() -> Self {
        let orders: ModuleName = "orders".parse().unwrap();
        let by_module = HashMap::from([(orders, Accepted::only([1]))]);
        Self::of(Identity::of(["jwt".into(), "legacy".into()], by_module))
    }

    fn at(&self, seconds: i64) {
        self.clock.0.store(seconds * 1_000_000, Ordering::Relaxed);
    }

    fn adopt(&self, keys: Vec<SigningKey>, database: i64) {
        let now = self.clock.now();
        self.adopt_between((now, now), keys, database);
    }

    fn adopt_between(&self, at: (Micros, Micros), keys: Vec<SigningKey>, database: i64) {
        let now = seconds(database);
        self.ring.adopt(&SigningKeysRead { now, keys }, at);
    }

    fn issue(&self, who: &Who) -> Issued {
        let own = [Audience::stored("u1"), Audience::stored("group:7")];
        self.passes.issue(who, &own, CLIENT).unwrap()
    }

    fn enter(&self, client_id: &str, issued: &Issued) -> Result<Entered, Denied> {
        let password = issued.password.as_bytes();
        self.passes.enter(client_id, &issued.username, password)
    }
}

fn caller(realm: &str, expires_at: Option<i64>) -> Who {
    Who::Known(Arc::new(Caller {
        realm: realm.into(),
        client_ids: ClientIds::Any,
        expires_at: expires_at.map(seconds),
        ..testing::caller("u1", &[])
    }))
}

#[test]
fn a_pass_lets_its_client_in_until_it_expires() {
    let bench = Bench::known();
    let issued = bench.issue(&caller("jwt", None));
    let entered = bench.enter(CLIENT, &issued).unwrap();
    assert_eq!(entered.pass.client_id(), CLIENT);
    assert_eq!(entered.pass.realm(), "jwt");
    assert_eq!(entered.pass.audiences().len(), 2);
    assert_eq!(entered.left, HOUR);
    assert_eq!(bench.passes.named(&issued.username), Ok(entered.pass));
    assert!(!issued.username.contains(':') && issued.username.len() < 200);
    bench.at(1_000 + 3_599);
    assert_eq!(bench.enter(CLIENT, &issued).unwrap().left.as_secs(), 1);
    bench.at(1_000 + 3_600);
    assert_eq!(bench.enter(CLIENT, &issued).unwrap_err(), Denied::Expired);
    let again = bench.issue(&caller("jwt", None));
    assert_eq!(
        again.username, issued.username,
        "a new password needs no new name"
    );
    assert_ne!(again.password, issued.password);
}

#[test]
fn it_never_outlives_the_credential_of_its_caller() {
    let bench = Bench::known();
    let issued = bench.issue(&caller("jwt", Some(1_300)));
    assert_eq!(bench.enter(CLIENT, &issued).unwrap().left.as_secs(), 300);
    bench.at(1_300);
    assert_eq!(bench.enter(CLIENT, &issued).unwrap_err(), Denied::Expired);
    let late = bench.passes.issue(&caller("jwt", Some(1_300)), &[], CLIENT);
    assert!(late.is_none());
}

#[test]
fn clocks_of_replicas_need_not_agree() {
    let (one, other) = (Bench::known(), Bench::known());
    other.at(500_000);
    other.adopt(vec![key(1, 0)], 1_010);
    let issued = one.issue(&caller("jwt", None));
    assert_eq!(other.enter(CLIENT, &issued).unwrap().left.as_secs(), 3_590);
}

#[test]
fn it_is_good_for_the_modules_that_take_its_realm() {
    let bench = Bench::known();
    let (orders, stock) = ("orders".parse().unwrap(), "stock".parse().unwrap());
    for (realm, takes_orders) in [("jwt", false), ("legacy", true)] {
        let issued = bench.issue(&caller(realm, None));
        let pass = bench.passes.named(&issued.username).unwrap();
        assert_eq!(bench.passes.takes(&pass, &orders), takes_orders, "{realm}");
        assert!(bench.passes.takes(&pass, &stock), "{realm}");
    }
    // A recognizer that was taken out of the configuration.
    let issued = bench.issue(&caller("gone", None));
    assert_eq!(bench.enter(CLIENT, &issued).unwrap_err(), Denied::NotKnown);
    assert_eq!(bench.passes.named(&issued.username), Err(Denied::NotKnown));
    // Open callers beside known ones get none: nobody would take it.
    assert_eq!(bench.passes.issue(&Who::Open, &[], CLIENT), None);
    let open = Bench::of(Identity::open());
    let issued = open.issue(&Who::Open);
    let pass = open.enter(CLIENT, &issued).unwrap().pass;
    assert!(open.passes.takes(&pass, &orders));
}

#[test]
fn nothing_of_it_can_be_changed() {
    let bench = Bench::known();
    let issued = bench.issue(&caller("jwt", None));
    for other in [
        "",
        "ABCDEFGHIJKL-terminal-2",
        "ABCDEFGHIJKL-terminal-",
        "abcdefghijkl-terminal-1",
    ] {
        let refused = bench.enter(other, &issued).unwrap_err();
        assert_eq!(refused, Denied::NotItsClient, "{other}");
    }
    let changed = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for at in 0..issued.username.len() {
        let username = changed(&issued.username, at);
        let tampered = Issued {
            username: username.clone(),
            password: issued.password.clone(),
        };
        let refused = bench.enter(CLIENT, &tampered).unwrap_err();
        assert!(matches!(refused, Denied::Forged | Denied::Foreign), "{at}");
        assert!(bench.passes.named(&username).is_err(), "{at}");
    }
    for at in 0..issued.password.len() {
        let tampered = Issued {
            username: issued.username.clone(),
            password: changed(&issued.password, at),
        };
        assert_eq!(
            bench.enter(CLIENT, &tampered).unwrap_err(),
            Denied::Forged,
            "{at}"
        );
    }
    for end in ["", "A", "AA", "=", " ", "\0"] {
        let longer = Issued {
            username: issued.username.clone(),
            password: format!("{}{end}", issued.password),
        };
        assert_eq!(bench.enter(CLIENT, &longer).is_ok(), end.is_empty());
    }
}

#[test]
fn a_name_has_a_longest() {
    let bench = Bench::known();
    let many: Vec<_> = (0..1_000)
        .map(|n| Audience::stored(format!("account-{n:06}")))
        .collect();
    let who = caller("jwt", None);
    assert!(bench.passes.issue(&who, &many, CLIENT).is_none());
    let issued = bench.passes.issue(&who, &many[..300], CLIENT).unwrap();
    assert!(issued.username.len() <= NAME_BYTES);
    assert!(bench.enter(CLIENT, &issued).is_ok());
    let longest = format!("{PREFIX}{}", "A".repeat(NAME_BYTES));
    assert_eq!(bench.passes.named(&longest), Err(Denied::Forged));
}

#[test]
fn keys_sign_in_turn_and_are_believed_until_they_retire() {
    let bench = Bench::known();
    let who = caller("jwt", None);
    let of_first = bench.issue(&who);
    let first = SigningKey {
        retires_at: Some(seconds(9_000)),
        ..key(1, 0)
    };
    bench.adopt(vec![first, key(2, 2_000)], 1_000);
    assert_eq!(
        bench.issue(&who).username,
        of_first.username,
        "the next one is not yet used"
    );
    bench.at(2_000);
    let of_second = bench.issue(&who);
    assert_ne!(of_second.username, of_first.username);
    for issued in [&of_first, &of_second] {
        assert!(bench.enter(CLIENT, issued).is_ok());
    }
    bench.at(8_999);
    assert!(bench.passes.named(&of_first.username).is_ok());
    bench.at(9_000);
    assert_eq!(bench.passes.named(&of_first.username), Err(Denied::Forged));
    assert!(bench.passes.named(&of_second.username).is_ok());
    // A key whose row was deleted, as after a theft.
    bench.adopt(vec![key(3, 9_000)], 9_000);
    assert_eq!(bench.passes.named(&of_second.username), Err(Denied::Forged));
}

/// The database's clock is 100 s before this machine's.
#[test]
fn a_reading_that_takes_long_moves_no_clock() {
    let bench = Bench::known();
    let keys = || vec![key(1, 0)];
    let ends = |bench: &Bench| {
        let issued = bench.issue(&caller("jwt", None));
        bench.enter(CLIENT, &issued).unwrap().left
    };
    bench.at(2_000);
    bench.adopt(keys(), 2_100);
    // Asked at 2,000 and answered at 2,000, but heard of at 2,060, and asked at 2,100 and answered when it was heard of, at 2,160.
    for (asked, answered, database) in [(2_000, 2_060, 2_100), (2_100, 2_160, 2_260)] {
        bench.at(answered);
        bench.adopt_between((seconds(asked), seconds(answered)), keys(), database);
        assert_eq!(
            bench.ring.shared(seconds(answered)),
            seconds(answered + 100)
        );
        assert_eq!(ends(&bench), HOUR);
    }
    // No reading is as old as this would make it: a clock was set.
    bench.adopt_between((seconds(2_200), seconds(2_210)), keys(), 2_280);
    assert_eq!(bench.ring.shared(seconds(2_210)), seconds(2_290));
}

proptest! {
    #[test]
    fn strangers_get_an_answer(username in ".{0,80}", coded in "[A-Za-z0-9_-]{0,120}", password in proptest::collection::vec(any::<u8>(), 0..80)) {
        let bench = Bench::known();
        let name = format!("{PREFIX}{coded}");
        for username in [&username, &name] {
            prop_assert!(bench.passes.enter(CLIENT, username, &password).is_err());
            prop_assert!(bench.passes.named(username).is_err());
        }
    }

    #[test]
    fn what_was_written_is_read(client in "[a-zA-Z0-9-]{1,64}", realm in "[a-z]{0,20}", audiences in proptest::collection::vec(".{1,30}", 0..20)) {
        let orders = HashMap::new();
        let bench = Bench::of(Identity::of([Arc::from(&*realm)], orders));
        let audiences: Vec<_> = audiences.iter().map(|text| Audience::stored(&**text)).collect();
        let issued = bench.passes.issue(&caller(&realm, None), &audiences, &client).unwrap();
        let pass = bench.enter(&client, &issued).unwrap().pass;
        prop_assert_eq!(pass.client_id(), &*client);
        prop_assert_eq!(pass.realm(), &*realm);
        prop_assert_eq!(pass.audiences(), &*audiences);
    }
}

#[test]
fn users_that_last_are_the_same_everywhere_and_tell_their_end() {
    let (one, other) = (Bench::known(), Bench::known());
    other.at(500_000);
    other.adopt(vec![key(1, 0)], 1_010);
    let who = caller("jwt", None);
    let end = one.passes.lasting_end(&who, CLIENT).unwrap();
    let left = end.since(seconds(1_000));
    assert!(left <= HOUR && left > HOUR * 4 / 5, "{left:?}");
    // Ten seconds later, on a machine whose clock is off: the same one, but once in so many times.
    let soon = other.passes.lasting_end(&who, CLIENT).unwrap();
    let beat = HOUR / 5;
    assert!(soon == end || soon.since(end) == beat, "{soon:?} {end:?}");
    let made = |bench: &Bench, rights: &[&str]| {
        let owner = bench.passes.owner(&who, None).unwrap().mark();
        bench.passes.lasting((owner, CLIENT), end, rights).unwrap()
    };
    let issued = made(&one, &["r1", "r2"]);
    assert_eq!(made(&other, &["r1", "r2"]), issued);
    assert_eq!(lasting_name_end(&issued.username), Some(end));
    for rights in [&["r1"][..], &["r1r2"], &["r2", "r1"], &[]] {
        let another = made(&one, rights);
        assert_ne!(another.username, issued.username, "{rights:?}");
        assert_ne!(another.password, issued.password, "{rights:?}");
    }
    one.adopt(vec![key(1, 0), key(2, 900)], 1_000);
    assert_ne!(made(&one, &["r1", "r2"]), issued);
    // No longer than the credential of the caller; and nobody whom no broker should let in.
    let short = one.passes.lasting_end(&caller("jwt", Some(1_300)), CLIENT);
    let short = short.unwrap();
    assert!(
        short <= seconds(1_300) && short >= seconds(1_200),
        "{short:?}"
    );
    assert_eq!(
        one.passes.lasting_end(&caller("jwt", Some(1_000)), CLIENT),
        None
    );
    assert_eq!(one.passes.lasting_end(&Who::Open, CLIENT), None);
    let orders: ModuleName = "orders".parse().unwrap();
    assert!(!one.passes.takes_caller(&who, &orders));
    assert!(one.passes.takes_caller(&caller("legacy", None), &orders));
}

#[test]
fn users_tell_whose_they_are_to_who_has_the_key() {
    let (one, other) = (Bench::known(), Bench::known());
    let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let name = |bench: &Bench, who: &Who, from: Option<IpAddr>| {
        let owner = bench.passes.owner(who, from).unwrap().mark();
        let end = seconds(2_000);
        let issued = bench.passes.lasting((owner, CLIENT), end, &[]).unwrap();
        (owner, issued.username)
    };
    let who = caller("jwt", None);
    let (owner, username) = name(&one, &who, address("10.0.0.1"));
    assert_eq!(lasting_name_owner(&username), Some(owner));
    // A caller is who it is, wherever it asks.
    assert_eq!(name(&other, &who, None).1, username);
    assert_ne!(name(&one, &caller("legacy", None), None).0, owner);
    let open = |from: &str| name(&one, &Who::Open, address(from)).0;
    assert_eq!(open("2001:db8::1"), open("2001:db8::2"));
    assert_ne!(open("10.0.0.1"), open("10.0.0.2"));
    assert_ne!(open("10.0.0.1"), owner);
    // What was made under the key before is still known for its.
    one.adopt(vec![key(1, 0), key(2, 900)], 1_000);
    let later = one.passes.owner(&who, None).unwrap();
    assert_ne!(later.mark(), owner);
    assert!(later.marks().any(|mark| mark == owner));
    // For as long as something of it can be there.
    let keys = || vec![key(1, 0), key(2, 900), key(3, 90_000)];
    for (at, count) in [(4_400, 2), (4_600, 1), (91_000, 2), (100_000, 1)] {
        one.at(at);
        one.adopt(keys(), at);
        let owner = one.passes.owner(&who, None).unwrap();
        assert_eq!(owner.marks().count(), count, "{at}");
    }
    for without in [
        "co2.000000000001.r",
        "co2.x.0000000000000000.t",
        "co3.a.b.c",
    ] {
        assert_eq!(lasting_name_owner(without), None, "{without}");
    }
}

/// A back end's yes is good for an hour, and is asked for again each minute.
#[test]
fn what_moves_with_each_verdict_is_made_anew_seldom() {
    let bench = Bench::known();
    let identity = Arc::new(Identity::of(["legacy".into()], HashMap::new()));
    let (ring, clock) = (Arc::clone(&bench.ring), bench.clock.clone());
    let tickets = Tickets::new(identity, ring, clock, HOUR * 12);
    let (mut ends, mut issued) = (BTreeSet::new(), BTreeSet::new());
    for minute in 0..240 {
        let now = 1_000 + minute * 60;
        bench.at(now);
        for good_for in [3_540, 3_600] {
            let who = caller("legacy", Some(now + good_for));
            let end = bench.passes.lasting_end(&who, CLIENT).unwrap();
            assert!(end <= seconds(now + good_for) && end >= seconds(now + 2_360));
            ends.insert(end);
            let ticket = tickets.issue(&who, "/stream").unwrap();
            let shown = tickets.who(&ticket, "/stream").unwrap();
            let end = shown.caller().and_then(|caller| caller.expires_at).unwrap();
            assert!(end <= seconds(now + good_for) && end >= seconds(now + 2_360));
            issued.insert(ticket);
        }
    }
    // Beats of 12 minutes, and of 15.
    assert!(ends.len() <= 22, "{}", ends.len());
    assert!(issued.len() <= 18, "{}", issued.len());
}

#[test]
fn names_of_the_releases_before_are_somebody_elses() {
    let bench = Bench::known();
    let issued = bench.issue(&caller("jwt", None));
    for prefix in ["co1.", LASTING_PREFIX] {
        let username = issued.username.replacen(PREFIX, prefix, 1);
        let older = Issued {
            username,
            ..issued.clone()
        };
        assert_eq!(bench.enter(CLIENT, &older).unwrap_err(), Denied::Foreign);
    }
}

proptest! {
    #[test]
    fn names_of_others_are_never_taken_for_ones_that_end(name in ".{0,40}", end in 0..281_474_976_710_655_i64) {
        let end = Micros::new(end * 1_000);
        prop_assert_eq!(lasting_name_end(&lasting_name(end, "rest")), Some(end));
        prop_assert_eq!(lasting_name_end(&name), None);
    }
}
