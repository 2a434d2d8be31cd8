//! What `$op` says, as JSON that only has to be copied.

use super::json;
use crate::{
    config::modules::{OpWord, Ops},
    domain::Op,
};

/// What `$op` is, as JSON.
#[derive(Debug, Clone)]
pub(super) struct OpWords {
    upsert: Box<[u8]>,
    delete: Box<[u8]>,
}

impl OpWords {
    pub(super) fn compile(ops: &Ops) -> Self {
        Self {
            upsert: word(&ops.upsert),
            delete: word(&ops.delete),
        }
    }

    pub(super) const fn of(&self, op: Op) -> &[u8] {
        match op {
            Op::Upsert => &self.upsert,
            Op::Delete => &self.delete,
        }
    }
}

fn word(word: &OpWord) -> Box<[u8]> {
    let mut out = Vec::new();
    match word {
        OpWord::Text(text) => json::push_string(&mut out, text),
        OpWord::Number(number) => json::push_integer(&mut out, *number),
        OpWord::Truth(truth) => json::push_bool(&mut out, *truth),
    }
    out.into()
}
