//! The MQTT client id of a client.
//!
//! Invariant: two callers never share one, and neither do two clients of a caller: who connects with another's id throws it
//! out and inherits what was queued for it. Another set of audiences is another id.

use sha2::{Digest, Sha256};

use crate::{domain::Audience, identity::Who, mirror::message::base32};

/// Characters that tell callers apart, of five bits each.
const CALLER_CHARACTERS: usize = 12;

/// Characters of an id that is a hash: all that a broker takes, up to these.
const HASH_CHARACTERS: usize = 26;

/// The longest client id of the managed brokers that we know.
const LONGEST: usize = 64;

/// What the ids of a broker's clients begin with: nothing, or up to `held` as the gateway's own do, where each must hold that.
pub(super) fn group(gateway_prefix: &str, held: Option<&str>) -> String {
    let before = |held| gateway_prefix.split_once(held).map(|(group, _)| group);
    match held {
        Some(held) => format!("{}{held}", before(held).unwrap_or_default()),
        None => String::new(),
    }
}

/// The id of a client of this caller, that reads these audiences, which are sorted.
pub(super) fn of(
    group: &str,
    (who, audiences): (&Who, &[Audience]),
    client_id: &str,
    longest: usize,
) -> String {
    let longest = longest.min(LONGEST);
    let caller = caller(who, audiences);
    let tag = base32::of_hash(&caller, CALLER_CHARACTERS);
    let wanted = format!("{group}{tag}-{client_id}");
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if wanted.len() <= longest && client_id.bytes().all(plain) {
        return wanted;
    }
    let mut hash = Sha256::new_with_prefix(caller);
    hash.update(client_id);
    let room = longest.saturating_sub(group.len());
    let id = base32::of_hash(&hash.finalize().into(), room.min(HASH_CHARACTERS));
    format!("{group}{id}")
}

fn caller(who: &Who, audiences: &[Audience]) -> [u8; 32] {
    let mut hash = match who.caller() {
        None => Sha256::new_with_prefix(b"open"),
        Some(caller) => {
            let mut hash = Sha256::new_with_prefix(b"known\0");
            // Of a length that is told, so that a realm and an id never run into each other.
            hash.update(caller.realm.len().to_be_bytes());
            hash.update(&*caller.realm);
            hash.update(caller.id.len().to_be_bytes());
            hash.update(&*caller.id);
            hash
        }
    };
    for audience in audiences {
        // No audience holds a control character, so none runs into the next.
        hash.update(b"\0");
        hash.update(audience.as_str());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(audience: &str, client: &str, longest: usize) -> String {
        let audience = Some(Audience::stored(audience)).filter(|a| !a.as_str().is_empty());
        of("", (&Who::Open, audience.as_slice()), client, longest)
    }

    #[test]
    fn it_names_the_client_where_it_can() {
        let plain = id("u1", "terminal-0001", 65_535);
        assert!(plain.ends_with("-terminal-0001"), "{plain}");
        assert_eq!(plain.len(), 12 + 1 + 13);
        assert_ne!(plain, id("u2", "terminal-0001", 65_535));
        assert_ne!(plain, id("", "terminal-0001", 65_535));
        assert_eq!(id("u1", "terminal-0001", 23).len(), 23);
        assert_eq!(group("GID_a@@@gw", Some("@@@")), "GID_a@@@");
        assert_eq!(group("changeover", None), "");
        assert!(of("GID_a@@@", (&Who::Open, &[]), "ü", 64).starts_with("GID_a@@@"));
    }

    proptest! {
        #[test]
        fn it_is_short_plain_and_ones_own(a in "[a-z*]{0,3}", b in "[a-z*]{0,3}", one in ".{1,80}", two in ".{1,80}", longest in 23..200_usize) {
            let (first, second) = (id(&a, &one, longest), id(&b, &two, longest));
            prop_assert!(first.len() <= longest.min(LONGEST));
            prop_assert!(first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!((a, one) == (b, two), first == second);
        }
    }
}
