//! How replicas tell each other of those whom some of them do not remember one by one.
//!
//! Invariants: what a replica has written of a slice never becomes less, over its restarts too; where nobody is left out and everybody has an
//! id, nothing is written. Who tells because others do gives no sign of its own, so that telling ends a window after nobody is left out any more.

use std::collections::HashMap;

use super::{Census, slices::PER_WINDOW};
use crate::{
    domain::{Micros, ModuleName},
    store::{self, Crowd, Sketch, Store},
};

/// Writes the sketches of this replica that others need, and returns those of all. Those without an id are told of by whoever has seen some;
/// where some replica cannot remember everybody, all tell of everybody.
pub(super) async fn exchange(
    census: &Census,
    store: &dyn Store,
    instance: &str,
) -> store::Result<Vec<Sketch>> {
    let since = census.slice_begin(census.common.slice().saturating_sub(PER_WINDOW));
    let written = store.sketches(since).await?;
    let (mut mine, mut all): (Vec<_>, Vec<_>) = written
        .into_iter()
        .partition(|sketch| sketch.instance == instance);
    let is_told = |module: &ModuleName| {
        let mut sketches = mine.iter().chain(&all);
        sketches.any(|sketch| sketch.module == *module && sketch.crowd == Crowd::Above)
    };
    let mut seen = Vec::new();
    for clients in census.modules.values() {
        let of = |crowd, (number, registers)| Sketch {
            module: clients.module().clone(),
            crowd,
            instance: instance.to_owned(),
            slice: census.slice_begin(number),
            registers,
        };
        let uncounted = clients.uncounted();
        seen.extend(uncounted.map(|number| of(Crowd::Above, (number, SIGN.to_vec()))));
        let tells_all = uncounted.is_some() || is_told(clients.module());
        let crowds = Crowd::HELD.into_iter();
        for crowd in crowds.filter(|crowd| tells_all || *crowd == Crowd::Unnamed) {
            seen.extend(
                clients
                    .slices(crowd)
                    .into_iter()
                    .map(|slice| of(crowd, slice)),
            );
        }
    }
    let news = news(&mine, seen);
    if !news.is_empty() {
        store.write_sketches(&news).await?;
    }
    mine.retain(|old| !news.iter().any(|new| key(new) == key(old)));
    store.forget_sketches(since).await?;
    all.append(&mut mine);
    all.extend(news);
    Ok(all)
}

/// What stands in the place of registers where nobody is held.
const SIGN: [u8; 1] = [1];

type Key<'a> = (&'a ModuleName, Crowd, Micros);

const fn key(sketch: &Sketch) -> Key<'_> {
    (&sketch.module, sketch.crowd, sketch.slice)
}

/// What is seen and not written, together with what is written: a process that has just begun has seen less than the one before it.
fn news(written: &[Sketch], seen: Vec<Sketch>) -> Vec<Sketch> {
    let written: HashMap<Key<'_>, &Sketch> = written.iter().map(|one| (key(one), one)).collect();
    let news = seen.into_iter().filter_map(|mut one| {
        let Some(before) = written.get(&key(&one)).copied() else {
            return one
                .registers
                .iter()
                .any(|register| *register > 0)
                .then_some(one);
        };
        for (own, other) in one.registers.iter_mut().zip(&before.registers) {
            *own = (*own).max(*other);
        }
        (one.registers != before.registers).then_some(one)
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(crowd: Crowd, slice: i64, registers: [u8; 3]) -> Sketch {
        Sketch {
            module: "orders".parse().unwrap(),
            crowd,
            instance: "a".to_owned(),
            slice: Micros::new(slice),
            registers: registers.to_vec(),
        }
    }

    #[test]
    fn what_was_written_never_becomes_less() {
        let written = [
            sketch(Crowd::Poll, 1, [1, 2, 3]),
            sketch(Crowd::Poll, 2, [4, 0, 0]),
        ];
        let seen = vec![
            sketch(Crowd::Poll, 1, [1, 0, 3]),
            sketch(Crowd::Poll, 2, [0, 5, 0]),
            sketch(Crowd::Unnamed, 1, [0, 0, 0]),
            sketch(Crowd::Unnamed, 2, [0, 0, 1]),
        ];
        let expected = [
            sketch(Crowd::Poll, 2, [4, 5, 0]),
            sketch(Crowd::Unnamed, 2, [0, 0, 1]),
        ];
        assert_eq!(news(&written, seen), expected);
    }
}
