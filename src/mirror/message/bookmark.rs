//! The retained message of a module: how far this broker is, and the module's flags.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::event::rfc3339;
use crate::{
    config::mirror::LONGEST_BOOKMARK_MS,
    domain::{Cursor, Epoch, LogId, Micros, ModuleName, Position, Stage, Standing},
    mirror::directions::Directions,
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
    /// This broker, as sessions name it.
    target: &'a str,
    /// How it stands. `paused` or `retired`: nothing more comes here; ask where to go, and poll until that is known.
    #[schema(value_type = String, pattern = "^(active|paused|retired)$")]
    standing: Standing,
    /// Whose log it is: the identity of the gateway's database. Another one on the same topic is another gateway.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    log: LogId,
    /// The message comes again after so many milliseconds at the latest, while its gateway is connected.
    every_ms: u64,
    #[schema(format = DateTime)]
    time: String,
}

/// What the message looks like.
pub fn schema() -> RefOr<Schema> {
    Message::schema()
}

/// What the publisher of a broker says in the message.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// What the broker has acknowledged.
    pub head: Cursor,
    /// See [`Message`].
    pub generation: u64,
    /// The version of the directions, read before.
    pub version: i64,
    /// The database's identity.
    pub log: LogId,
    /// `mirror.bookmark_ms`.
    pub every_ms: u64,
    /// The time.
    pub now: Micros,
}

/// Encodes the message for a target. The reason is the stable word of the evaluation, not the operators' own text, which is
/// not for every subscriber.
pub fn encode(module: &ModuleName, target: &str, directions: &Directions, said: Said) -> Bytes {
    let evaluation = directions.of_all(module, target);
    let message = Message {
        module,
        epoch: said.head.epoch.get(),
        head: said.head.position.get(),
        generation: said.generation,
        stage_requested: evaluation.requested,
        stage_effective: evaluation.effective,
        version: said.version,
        reason: evaluation.reason,
        target,
        standing: directions.standing(target),
        log: said.log,
        every_ms: said.every_ms,
        time: rfc3339(said.now),
    };
    let json = serde_json::to_vec(&message).expect("numbers, words and texts have a JSON form");
    json.into()
}

/// What tells one broker's memory of us from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Seen {
    epoch: u32,
    head: u64,
    /// Absent in messages of gateways of before.
    #[serde(default)]
    log: Option<LogId>,
    #[serde(default)]
    every_ms: u64,
}

/// The name under which the broker was fed that shows a message; `None` if it does not say.
pub fn named(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        target: String,
    }
    let named: Named = serde_json::from_slice(payload).ok()?;
    Some(named.target)
}

/// A message beyond these was forged or damaged, and a log that leapt over it could hardly count on.
const MOST_EPOCH: u32 = 1 << 24;
const MOST_HEAD: u64 = 1 << 53;

impl Seen {
    /// Reads a retained message; `None` if it is not one of ours.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// Whose log it is of, if it says so.
    pub const fn log(self) -> Option<LogId> {
        self.log
    }

    /// How long its gateway may be silent between two messages; nothing if it does not say.
    pub fn interval(self) -> Duration {
        Duration::from_millis(self.every_ms.min(LONGEST_BOOKMARK_MS))
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
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::cutover::{Adviser, Flags, Routes};

    #[test]
    fn the_message_is_exactly_as_promised() {
        let module: ModuleName = "m1".parse().unwrap();
        let flags = Flags::new(std::slice::from_ref(&module));
        let head = Cursor::new(Epoch::new(2), Position::new(7));
        let routes = Routes::new(BTreeMap::from([(module.clone(), vec!["t".to_owned()])]));
        let adviser = Adviser::new(Arc::new(flags), Arc::new(routes), |_| true);
        let directions = Directions::new(Arc::new(adviser), Arc::default());
        let said = Said {
            head,
            generation: 3,
            version: directions.version(&module, Some("t")),
            log: LogId::new(7),
            every_ms: 5_000,
            now: Micros::new(0),
        };
        let message = encode(&module, "t", &directions, said);
        let expected = concat!(
            r#"{"module":"m1","epoch":2,"head":7,"generation":3,"stage_requested":"mirror","#,
            r#""stage_effective":"mirror","version":0,"reason":"stage","target":"t","standing":"active","#,
            r#""log":"00000000000000000000000000000007","every_ms":5000,"time":"1970-01-01T00:00:00.000000Z"}"#
        );
        assert_eq!(message, expected);
        let seen = Seen::parse(&message).unwrap();
        assert!(seen.reaches(head));
        assert!(!seen.reaches(Cursor::new(Epoch::new(2), Position::new(8))));
        assert_eq!(seen.cursor(), Some(head));
        assert_eq!(seen.log(), Some(LogId::new(7)));
        assert_eq!(seen.interval(), Duration::from_secs(5));
        let of_before = Seen::parse(br#"{"module":"m1","epoch":2,"head":7}"#).unwrap();
        assert_eq!(of_before.log(), None);
        assert_eq!(of_before.interval(), Duration::ZERO);
        assert_eq!(named(&message).as_deref(), Some("t"));
        assert_eq!(named(br#"{"module":"m1","epoch":2,"head":7}"#), None);
        assert_eq!(Seen::parse(b"[]"), None);
        let forged = Seen::parse(br#"{"epoch":1,"head":18446744073709551615}"#).unwrap();
        assert_eq!(forged.cursor(), None);
        let forged =
            Seen::parse(br#"{"epoch":1,"head":1,"every_ms":18446744073709551615}"#).unwrap();
        assert_eq!(forged.interval(), Duration::from_hours(1));
    }
}
