//! Tickets: what stands in the address of an event stream in place of a credential, since a browser's `EventSource` sends no headers.
//!
//! A ticket is, in base64url without padding, the bytes of: the key (8), when it ends (4, in seconds, by the database's clock), whether its
//! caller may bear any client id (1), the realm, the caller's id, its program, the number of its audiences (2), each of them, and the proof (32) of
//! all that and of the rest of the address. Texts have their length before them (2).
//!
//! Invariants: it is the same on each replica until its slot is over, so an answer that holds it is another one only then, or where the caller's own end comes before
//! that: a few times until it has come, and each quarter of an hour or so if it moves on for an hour with each verdict (`ends.rs`). It is good for one
//! address, for no longer than two slots and than the credential by which it was asked for; nothing is read from it before its proof; what is
//! signed here is never good as anything else.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    KeyRing,
    ends::last_beat,
    name::{fixed, key, long},
};
use crate::{
    domain::{Audience, Clock, Micros},
    identity::{Caller, ClientIds, Identity, Refused, Who},
};

const MARK: &[u8] = b"changeover stream ticket 1\0";
const PROOF_BYTES: usize = 32;

/// How far apart ends are, in seconds, that come before the slot's: at most, which halves down to a quarter of an hour, and at least.
const STEPS_S: (u64, u64) = (28_800, 60);

/// The longest ticket, in characters: a caller with more audiences gets none.
const TICKET_CHARACTERS: usize = 8_192;

/// Where tickets are made and checked.
pub struct Tickets {
    identity: Arc<Identity>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    slot_s: i64,
}

impl Tickets {
    /// Tickets for callers of this `identity`, which change once in a slot, each caller's at a time of its own.
    pub fn new(
        identity: Arc<Identity>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        slot: Duration,
    ) -> Self {
        Self {
            identity,
            ring,
            clock,
            slot_s: i64::try_from(slot.as_secs()).unwrap_or(i64::MAX).max(1),
        }
    }

    /// The ticket of a caller for an address. None for an open one, for one with more audiences than a ticket can hold, and while there is no key.
    pub fn issue(&self, who: &Who, address: &str) -> Option<String> {
        let caller = who.caller()?;
        let now = self.clock.now();
        let shared = self.ring.shared(now);
        let began = self.slot_began(caller, shared.as_secs());
        let began_at = Micros::new(began.saturating_mul(1_000_000));
        let key = self.ring.signing_since(began_at, now)?;
        let mut ends = began.saturating_add(self.slot_s.saturating_mul(2));
        if let Some(end) = caller.expires_at {
            ends = ends.min(own_end(caller, end, now)?);
        }
        let mut body = key.id().to_be_bytes().to_vec();
        body.extend(u32::try_from(ends).ok()?.to_be_bytes());
        body.push(u8::from(caller.client_ids == ClientIds::Any));
        let agent = caller.agent.as_deref().unwrap_or_default();
        for text in [&*caller.realm, &*caller.id, agent] {
            push(&mut body, text)?;
        }
        body.extend(u16::try_from(caller.audiences.len()).ok()?.to_be_bytes());
        for audience in &*caller.audiences {
            push(&mut body, audience.as_str())?;
        }
        let length = length(&body)?;
        let proof = key.prove(&[MARK, &length, &body, address.as_bytes()]);
        body.extend(proof);
        let ticket = URL_SAFE_NO_PAD.encode(body);
        (ticket.len() <= TICKET_CHARACTERS).then_some(ticket)
    }

    /// Who shows this ticket at an address.
    pub fn who(&self, ticket: &str, address: &str) -> Result<Who, Refused> {
        let now = self.clock.now();
        let caller = self.genuine(ticket, address, now);
        let caller = caller.ok_or(Refused::NotAccepted)?;
        let is_over = caller.expires_at.is_none_or(|end| end <= now);
        if is_over {
            return Err(Refused::Expired);
        }
        Ok(Who::Known(Arc::new(caller)))
    }

    fn genuine(&self, ticket: &str, address: &str, now: Micros) -> Option<Caller> {
        if ticket.len() > TICKET_CHARACTERS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let (body, proof) = bytes.split_last_chunk::<PROOF_BYTES>()?;
        let key = self.ring.believed(key(body)?, now)?;
        let length = length(body)?;
        if !key.is_proof(&[MARK, &length, body, address.as_bytes()], proof) {
            return None;
        }
        let mut caller = parse(&body[size_of::<u64>()..])?;
        // By this machine's clock, as all that is known of a caller.
        let ends = caller.expires_at?.since(self.ring.shared(now));
        caller.expires_at = Some(now.plus(ends));
        caller.by = self.identity.place(&caller.realm)?;
        Some(caller)
    }

    /// When the slot of a caller began: not all change at once.
    fn slot_began(&self, caller: &Caller, now_s: i64) -> i64 {
        let offset = i64::from(offset(caller)) % self.slot_s;
        now_s - (now_s + offset).rem_euclid(self.slot_s)
    }
}

/// The end of the caller's own credential, or a moment before that which stays the same while that moves: in seconds, by whatever clock the credential says it.
fn own_end(caller: &Caller, end: Micros, now: Micros) -> Option<i64> {
    let seconds = |at: Micros| u64::try_from(at.as_secs()).ok();
    let offset = u64::from(offset(caller));
    i64::try_from(last_beat(seconds(end)?, seconds(now)?, STEPS_S, offset)).ok()
}

/// What shifts the times of a caller.
fn offset(caller: &Caller) -> u32 {
    let digest = Sha256::new()
        .chain_update(&*caller.realm)
        .chain_update([0])
        .chain_update(&*caller.id)
        .finalize();
    let first = digest.first_chunk().expect("a hash has 32 bytes");
    u32::from_be_bytes(*first)
}

/// It keeps the body apart from the address in what is signed.
fn length(body: &[u8]) -> Option<[u8; 2]> {
    Some(u16::try_from(body.len()).ok()?.to_be_bytes())
}

fn push(body: &mut Vec<u8>, text: &str) -> Option<()> {
    body.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
    body.extend(text.as_bytes());
    Some(())
}

/// What a ticket says behind its key. Its caller's place is still to be found.
fn parse(said: &[u8]) -> Option<Caller> {
    let mut rest = said;
    let ends = i64::from(u32::from_be_bytes(fixed(&mut rest)?));
    let [any] = fixed(&mut rest)?;
    let realm = long(&mut rest)?;
    let id = long(&mut rest)?;
    let agent = long(&mut rest)?;
    let count = u16::from_be_bytes(fixed(&mut rest)?);
    let mut audiences = Vec::new();
    for _ in 0..count {
        audiences.push(Audience::stored(&*long(&mut rest)?));
    }
    rest.is_empty().then(|| Caller {
        by: 0,
        realm: realm.into(),
        id: id.into(),
        client_ids: if any == 1 {
            ClientIds::Any
        } else {
            ClientIds::Own
        },
        audiences: audiences.into(),
        claims: Box::default(),
        agent: (!agent.is_empty()).then(|| agent.into()),
        expires_at: Some(Micros::new(ends.saturating_mul(1_000_000))),
    })
}
