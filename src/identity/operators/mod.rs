//! Operators and producers: who may do what at the private listener.
//!
//! `token_text.rs` is what a token looks like, `role.rs` what it is good for, `operator.rs` who bears it, `held.rs` those of this moment in
//! memory, `acts.rs` making and revoking, `admin_file.rs` the first of them, `console.rs` what pages have in place of one.
//!
//! Invariants: a request costs no SQL, and a database that does not answer leaves those who are known; what was revoked on one replica is
//! refused on each within a second; the text of a token is nowhere but in the answer that makes it and in the file of the first.

mod acts;
mod admin_file;
mod console;
mod held;
mod operator;
mod role;
mod token_text;

pub use self::{
    acts::{Made, TokenAsked, TokenRefused},
    admin_file::{admin_file_trouble, enrol_admin},
    console::{Console, NotSignedIn, SignedIn},
    held::{NotKnown, Operators},
    operator::Operator,
    role::{Role, Roles, UnknownRole},
    token_text::{Malformed, Randomness, TokenText},
};
