//! Rows of `auth_token`.

use super::Columns;
use crate::{
    domain::Micros,
    store::{Result, TokenRecord, row::json_text},
};

/// `id, name, role, modules, created_by, created_at, expires_at, revoked_at`, and the hash beside them. A list of modules that cannot be read
/// names one that no module can have, so that it gives nothing.
pub(in crate::store) fn token_record(
    row: &impl Columns,
    hash: Vec<u8>,
) -> sqlx::Result<TokenRecord> {
    let modules = row.optional_text(3)?;
    let modules = modules.map(|list| serde_json::from_str(list).unwrap_or(vec![String::new()]));
    Ok(TokenRecord {
        id: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        roles: row.text(2)?.to_owned(),
        modules: modules.unwrap_or_default(),
        hash,
        created_by: row.optional_text(4)?.unwrap_or_default().to_owned(),
        created_at: Micros::new(row.integer(5)?),
        expires_at: row.optional_integer(6)?.map(Micros::new),
        revoked_at: row.optional_integer(7)?.map(Micros::new),
    })
}

/// The modules as they are stored.
pub(in crate::store) fn token_modules(record: &TokenRecord) -> Result<Option<String>> {
    if record.modules.is_empty() {
        return Ok(None);
    }
    json_text("auth_token", &record.modules).map(Some)
}
