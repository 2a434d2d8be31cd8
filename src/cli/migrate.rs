//! `changeover migrate`: brings the database's schema up to this program's, and to what its configuration needs.

use anyhow::Context;

use super::{Failure, Globals, output::say};
use crate::{
    config,
    store::{self, SchemaState},
};

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let config = config::load(&globals.sources())?;
    let store = store::open(&config.database, &config.sequencer)
        .await
        .context("the database cannot be opened")?;
    let state = store.schema_state().await.context("the schema")?;
    let count = match state {
        SchemaState::Current => 0,
        SchemaState::Pending(_) => store.migrate().await.context("a migration failed")?,
    };
    match count {
        0 => say("the schema is current")?,
        count => say(&format!("{count} migration(s) run"))?,
    }
    if config.reads_state_by_time() {
        make_tick_index(store.as_ref()).await?;
    }
    store.close().await;
    Ok(())
}

async fn make_tick_index(store: &dyn store::Store) -> Result<(), Failure> {
    let there = store.has_tick_index().await;
    if there.context("the index for time cursors")? {
        return Ok(());
    }
    eprintln!("making the index for time cursors, which may take a while");
    let made = store.make_tick_index().await;
    made.context("the index for time cursors could not be made")?;
    say("the index for time cursors is made")?;
    Ok(())
}
