//! Judging an outbox row: a change that may be numbered, or the reason why it never can be.
//!
//! Invariant: what is admitted is valid UTF-8, valid JSON and within the limits, whoever
//! inserted it; a poisonous row is parked and never stops the log.

use crate::{
    domain::{Audience, Invalid, JsonText, Limits, Micros, ModuleName, NewChange, Op},
    store::OutboxRow,
};

/// The change in a row of `module`, or why it is parked: a stable word, a colon, an explanation.
pub(super) fn admit(
    row: &OutboxRow,
    module: &ModuleName,
    limits: &Limits,
) -> Result<NewChange, String> {
    let audience = optional_text("audience", row.audience.as_deref())?;
    let audience = audience.unwrap_or(Audience::EVERYONE);
    let op = optional_text("op", row.op.as_deref())?.unwrap_or(Op::Upsert.as_str());
    let change_id = optional_text("change_id", row.change_id.as_deref())?;
    let op: Op = op.parse().map_err(|why| reason("op", &why))?;
    let key = text("key", row.key.as_deref())?;
    let value = match optional_text("value", row.value.as_deref())? {
        None if op == Op::Delete => "null",
        None => return Err("value: must not be NULL, except of a delete".to_owned()),
        Some(value) => value,
    };

    NewChange::check_key(key, limits).map_err(|why| reason("key", &why))?;
    NewChange::check_value_size(value, limits).map_err(|why| reason("value", &why))?;
    if let Some(id) = change_id {
        NewChange::check_change_id(id, limits).map_err(|why| reason("change_id", &why))?;
    }
    let value = JsonText::parse(value).map_err(|why| reason("value", &why))?;
    // Of what is no JSON nobody can say how deep it is.
    NewChange::check_value_depth(value.as_str(), limits).map_err(|why| reason("value", &why))?;
    Ok(NewChange {
        module: module.clone(),
        audience: Audience::new(audience, limits.audience_bytes)
            .map_err(|why| reason("audience", &why))?,
        key: key.into(),
        op,
        value,
        change_id: change_id.map(Into::into),
        occurred_at: row.occurred_at.map(Micros::new),
    })
}

fn text<'a>(column: &'static str, bytes: Option<&'a [u8]>) -> Result<&'a str, String> {
    optional_text(column, bytes)?.ok_or_else(|| format!("{column}: must not be NULL"))
}

fn optional_text<'a>(
    column: &'static str,
    bytes: Option<&'a [u8]>,
) -> Result<Option<&'a str>, String> {
    bytes
        .map(|bytes| std::str::from_utf8(bytes).map_err(|_| format!("{column}: is not UTF-8")))
        .transpose()
}

fn reason(column: &'static str, invalid: &Invalid) -> String {
    format!("{column}: {}", invalid.why)
}
