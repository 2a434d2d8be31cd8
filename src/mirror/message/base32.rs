//! Names for what is too long or too strange to be named itself.

/// RFC 4648: letters and digits that every broker takes.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The first so many characters, of five bits each, of a hash in base32. At most 51.
pub(in crate::mirror) fn of_hash(hash: &[u8; 32], characters: usize) -> String {
    let bit = |at: usize| hash[at / 8] >> (7 - at % 8) & 1;
    let character = |n: usize| {
        let index = (n * 5..n * 5 + 5).fold(0, |index, at| index << 1 | bit(at));
        char::from(ALPHABET[usize::from(index)])
    };
    (0..characters).map(character).collect()
}
