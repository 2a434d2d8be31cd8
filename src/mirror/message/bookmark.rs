//! The retained message of a module: how far this broker is, and the module's flags.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::event::rfc3339;
use crate::{
    cutover::Flags,
    domain::{Client, Cursor, Epoch, Micros, ModuleName, Position, Stage},
};

/// The content type of the message.
pub const CONTENT_TYPE: &str = "application/json";

/// How far this broker is with a module, and the module's flags.
#[derive(Serialize, ToSchema)]
struct Message<'a> {
    #[schema(value_type = String)]
    module: &'a ModuleName,
    /// The incarnation of the log.
    epoch: u32,
    /// Everything up to it was acknowledged by this broker.
    head: u64,
    /// Grows when this broker may have lost changes or was not given some: who finds it changed catches up.
    generation: u64,
    /// What engineers asked for.
    #[schema(value_type = String, pattern = "^(proxy|shadow|mirror|ramp|sunset|retired)$")]
    stage_requested: Stage,
    /// What is in force.
    #[schema(value_type = String, pattern = "^(proxy|shadow|mirror|ramp|sunset|retired)$")]
    stage_effective: Stage,
    /// A new one means: ask again what to do.
    version: i64,
    /// Why the effective stage is what it is.
    reason: &'a str,
    #[schema(format = DateTime)]
    time: String,
}

/// What the message looks like.
pub fn schema() -> RefOr<Schema> {
    Message::schema()
}

/// Encodes the message. `head` is what this broker has acknowledged. The reason is the stable
/// word of the evaluation, not the operators' own text, which is not for every subscriber.
pub fn encode(
    module: &ModuleName,
    flags: &Flags,
    head: Cursor,
    generation: u64,
    now: Micros,
) -> Bytes {
    let evaluation = flags.evaluate(module, &Client::default());
    let message = Message {
        module,
        epoch: head.epoch.get(),
        head: head.position.get(),
        generation,
        stage_requested: evaluation.requested,
        stage_effective: evaluation.effective,
        version: version(flags, module),
        reason: evaluation.reason,
        time: rfc3339(now),
    };
    let json = serde_json::to_vec(&message).expect("numbers, words and texts have a JSON form");
    json.into()
}

/// What clients know the module's flags by.
pub fn version(flags: &Flags, module: &ModuleName) -> i64 {
    flags.told_version(module)
}

/// What tells one broker's memory of us from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Seen {
    epoch: u32,
    head: u64,
}

/// A message beyond these was forged or damaged, and a log that leapt over it could hardly count on.
const MOST_EPOCH: u32 = 1 << 24;
const MOST_HEAD: u64 = 1 << 53;

impl Seen {
    /// Reads a retained message; `None` if it is not one of ours.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// What the broker's memory reaches to; `None` if no log of ours can have got there.
    pub fn cursor(self) -> Option<Cursor> {
        let plausible = self.epoch <= MOST_EPOCH && self.head <= MOST_HEAD;
        plausible.then(|| Cursor::new(Epoch::new(self.epoch), Position::new(self.head)))
    }

    /// Whether a broker that shows this still has what it acknowledged when we wrote `head`.
    pub fn reaches(self, head: Cursor) -> bool {
        (self.epoch, self.head) >= (head.epoch.get(), head.position.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_exactly_as_promised() {
        let module: ModuleName = "m1".parse().unwrap();
        let flags = Flags::new(std::slice::from_ref(&module));
        let head = Cursor::new(Epoch::new(2), Position::new(7));
        let message = encode(&module, &flags, head, 3, Micros::new(0));
        let expected = concat!(
            r#"{"module":"m1","epoch":2,"head":7,"generation":3,"stage_requested":"mirror","#,
            r#""stage_effective":"mirror","version":0,"reason":"stage","time":"1970-01-01T00:00:00.000000Z"}"#
        );
        assert_eq!(message, expected);
        let seen = Seen::parse(&message).unwrap();
        assert!(seen.reaches(head));
        assert!(!seen.reaches(Cursor::new(Epoch::new(2), Position::new(8))));
        assert_eq!(seen.cursor(), Some(head));
        assert_eq!(Seen::parse(b"[]"), None);
        let forged = Seen::parse(br#"{"epoch":1,"head":18446744073709551615}"#).unwrap();
        assert_eq!(forged.cursor(), None);
    }
}
