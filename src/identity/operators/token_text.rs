//! What a token looks like: `changeover_`, its id, 256 bits of randomness and a checksum.
//!
//! Its beginning and its checksum let scanners of repositories and logs know one when they see it, and let a typo be told from a token that
//! was revoked. What is kept of it is SHA-256 of all of it, not a slow hash: there is nothing to guess in 256 random bits, and a slow one
//! would be work that anybody could make the gateway do with each request.
//!
//! Invariant: nothing but [`TokenText::reveal`] shows one.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

const PREFIX: &str = "changeover_";
/// Bytes of id, secret and checksum; two characters each.
const ID: usize = 8;
const SECRET: usize = 32;
const CHECKSUM: usize = 4;
/// The underscore behind the id.
const SECRET_AT: usize = PREFIX.len() + 2 * ID + 1;
const CHECKSUM_AT: usize = SECRET_AT + 2 * SECRET;
const LENGTH: usize = CHECKSUM_AT + 2 * CHECKSUM;

/// What a new token is made of.
pub type Randomness = [u8; ID + SECRET];

/// A text that looks like a token. Whether it is one, the database says.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

/// The text is no token, or a part of it is missing or mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no token of changeover, or a character of it is wrong or missing")]
pub struct Malformed;

impl TokenText {
    /// A new one.
    pub fn new(randomness: &Randomness) -> Self {
        let (id, secret) = randomness.split_at(ID);
        let mut text = PREFIX.to_owned();
        push_hex(&mut text, id);
        text.push('_');
        push_hex(&mut text, secret);
        let checksum = checksum(&text);
        push_hex(&mut text, &checksum);
        Self(text)
    }

    /// A text that somebody shows.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'_');
        let looks_like_one =
            text.len() == LENGTH && text.starts_with(PREFIX) && text.bytes().all(plain);
        if !looks_like_one {
            return Err(Malformed);
        }
        let mut expected = String::with_capacity(2 * CHECKSUM);
        push_hex(&mut expected, &checksum(&text[..CHECKSUM_AT]));
        if text[CHECKSUM_AT..] != expected || text.as_bytes()[SECRET_AT - 1] != b'_' {
            return Err(Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a token, or nothing yet, begins with this.
    pub fn may_begin_with(text: &str) -> bool {
        let fits = |(at, byte): (usize, u8)| match PREFIX.as_bytes().get(at) {
            Some(own) => *own == byte,
            None if at == SECRET_AT - 1 => byte == b'_',
            None => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        text.len() < LENGTH && text.bytes().enumerate().all(fits)
    }

    /// Which one it is: the part that is no secret.
    pub fn id(&self) -> &str {
        &self.0[PREFIX.len()..SECRET_AT - 1]
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// All of it, for its bearer.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Not of the whole hash, which is kept: this one stands in the text.
fn checksum(body: &str) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update("checksum ").chain_update(body);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&digest.finalize()[..CHECKSUM]);
    checksum
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
}

/// Without the secret.
impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_***", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> TokenText {
        let mut bytes: Randomness = [0; ID + SECRET];
        bytes.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
        TokenText::new(&bytes)
    }

    #[test]
    fn it_reads_as_it_was_made() {
        let token = some();
        assert_eq!(TokenText::parse(token.reveal()), Ok(token.clone()));
        assert_eq!(token.id(), "0102030405060708");
        assert!(
            token
                .reveal()
                .starts_with("changeover_0102030405060708_090a")
        );
        assert_eq!(token.reveal().len(), LENGTH);
    }

    #[test]
    fn each_wrong_or_missing_character_is_noticed() {
        let text = some().reveal().to_owned();
        for at in 0..text.len() {
            for other in ["0", "f", "_", "A", "é", " "] {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, other);
                assert!(
                    wrong == text || TokenText::parse(&wrong) == Err(Malformed),
                    "{wrong}"
                );
            }
            assert_eq!(TokenText::parse(&text[..at]), Err(Malformed));
        }
        assert_eq!(TokenText::parse(&format!("{text}0")), Err(Malformed));
        assert_eq!(TokenText::parse(&format!("{text}\n")), Err(Malformed));
    }

    #[test]
    fn the_secret_is_not_shown_by_accident() {
        assert_eq!(format!("{:?}", some()), "changeover_0102030405060708_***");
    }
}
