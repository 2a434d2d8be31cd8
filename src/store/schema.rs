//! The schema's version.

use async_trait::async_trait;

use super::Result;

/// How the database's schema compares with the one that this program carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// They are the same.
    Current,
    /// The database lacks this many migrations.
    Pending(usize),
}

/// Migrations, embedded in the program.
#[async_trait]
pub trait Schema {
    /// Compares. A schema with a migration that this program does not know is
    /// [`super::Error::SchemaNewer`].
    async fn schema_state(&self) -> Result<SchemaState>;

    /// Runs what is pending, one process at a time. Returns how many ran.
    async fn migrate(&self) -> Result<usize>;

    /// Asks the database for nothing but an answer.
    async fn ping(&self) -> Result<()>;

    /// Connections that are open or about to be, the writer's or the sequencer's own included.
    fn connections(&self) -> u32;

    /// Ends all connections, after those in use were returned.
    async fn close(&self);
}
