//! `changeover migrate`: brings the database's schema up to this program's.

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
    store.close().await;
    match count {
        0 => say("the schema is current")?,
        count => say(&format!("{count} migration(s) run"))?,
    }
    Ok(())
}
