//! Changes to write, and the steps of numbering them as the sequencer takes them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use changeover::{
    domain::{Audience, Change, JsonText, Micros, ModuleName, NewChange, Op, Position},
    store::{Batch, Beyond, HeadUpdate, Lease, NumberedRow, OutboxRow, Result, Scan, Share, Store},
};

pub const LEASE: Duration = Duration::from_millis(1_500);
pub const EVERYTHING: usize = 64 * 1024 * 1024;

pub fn module(name: &str) -> ModuleName {
    name.parse().unwrap()
}

pub fn change(module: &ModuleName, audience: &str, key: &str, value: &str) -> NewChange {
    NewChange {
        module: module.clone(),
        audience: Audience::new(audience, 64).unwrap(),
        key: key.into(),
        op: Op::Upsert,
        value: JsonText::parse(value).unwrap(),
        change_id: None,
        occurred_at: Some(Micros::new(1_700_000_000_000_001)),
    }
}

/// Creates the module and takes its lease.
pub async fn held(store: &Arc<dyn Store>, name: &ModuleName) -> Lease {
    store
        .ensure_modules(std::slice::from_ref(name))
        .await
        .unwrap();
    let taken = store
        .acquire(std::slice::from_ref(name), "test", LEASE, Share::ALL)
        .await
        .unwrap();
    taken
        .into_iter()
        .next()
        .expect("nobody else wants the lease of this test's module")
}

pub async fn waiting(store: &Arc<dyn Store>, modules: &[ModuleName]) -> Vec<OutboxRow> {
    let scan = Scan {
        modules,
        except: false,
        beyond: Beyond::Nothing,
        rows: 10_000,
        bytes: EVERYTHING,
    };
    store.scan_outbox(scan).await.unwrap().rows
}

/// Numbers everything that waits, in one transaction.
pub async fn number(store: &Arc<dyn Store>, lease: &Lease) -> Result<()> {
    number_with(store, lease, true).await
}

/// Numbers everything that waits, as a replica whose `state` is on or off.
pub async fn number_with(store: &Arc<dyn Store>, lease: &Lease, state: bool) -> Result<()> {
    let rows = waiting(store, std::slice::from_ref(&lease.module)).await;
    let mut tx = store.begin_numbering(std::slice::from_ref(lease)).await?;
    let channels: Vec<_> = rows
        .iter()
        .map(|row| (lease.module.clone(), audience(row)))
        .collect();
    let last = tx.last_positions(&channels).await?;
    let head = tx.heads()[0].clone();
    let mut last: HashMap<Audience, Position> = last
        .into_iter()
        .map(|((_, audience), position)| (audience, position))
        .collect();
    let mut position = head.head;
    let now = tx.now().max(head.sequenced_through);
    let mut batch = Batch::default();
    for row in &rows {
        position = position.next();
        let previous = last.insert(audience(row), position).unwrap_or_default();
        let change = numbered(row, head.epoch, position, previous, now);
        batch.rows.push(NumberedRow {
            module: lease.module.clone(),
            change: Arc::new(change),
            state: true,
        });
        batch.delete.push(row.id);
    }
    keep_last_of_each_key(&mut batch.rows);
    for row in &mut batch.rows {
        row.state &= state;
    }
    batch.heads.push(HeadUpdate {
        lease: lease.clone(),
        head: position,
        sequenced_through: now,
        stateless_from: (!state && !rows.is_empty()).then(|| head.head.next()),
    });
    tx.write(&batch, LEASE).await?;
    tx.commit().await
}

fn keep_last_of_each_key(rows: &mut [NumberedRow]) {
    let mut seen = std::collections::HashSet::new();
    for row in rows.iter_mut().rev() {
        row.state = seen.insert((row.change.audience.clone(), row.change.key.clone()));
    }
}

fn audience(row: &OutboxRow) -> Audience {
    Audience::stored(text(row.audience.as_deref().unwrap_or(b"*")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn numbered(
    row: &OutboxRow,
    epoch: changeover::domain::Epoch,
    position: Position,
    previous: Position,
    now: Micros,
) -> Change {
    Change {
        epoch,
        position,
        previous,
        audience: audience(row),
        key: text(row.key.as_deref().unwrap()).into(),
        op: text(row.op.as_deref().unwrap_or(b"upsert"))
            .parse()
            .unwrap(),
        value: JsonText::stored(text(row.value.as_deref().unwrap_or(b"null"))),
        change_id: row.change_id.as_deref().map(|id| text(id).into()),
        occurred_at: Micros::new(row.occurred_at.unwrap()),
        sequenced_at: now,
    }
}
