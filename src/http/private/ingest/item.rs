//! One change of changeover's own format, and the checks that every format's changes pass.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::{Audience, Invalid, JsonText, Limits, Micros, ModuleName, NewChange, Op};

/// One change of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    key: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    audience: Option<String>,
    op: Option<String>,
    change_id: Option<String>,
    occurred_at_ms: Option<i64>,
}

/// `"value": null` is a value; only an absent member is none.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// A change as its format says it, not checked yet.
pub(super) struct Draft<'a> {
    pub(super) key: &'a str,
    pub(super) op: Op,
    pub(super) value: Option<Box<RawValue>>,
    pub(super) audience: Option<&'a str>,
    pub(super) change_id: Option<&'a str>,
    pub(super) occurred_at: Option<Micros>,
}

/// Reads one change of changeover's own format.
pub(super) fn change(
    module: &ModuleName,
    item: &str,
    limits: &Limits,
) -> Result<NewChange, String> {
    let item: Item = serde_json::from_str(item).map_err(|error| error.to_string())?;
    let op = item.op.as_deref().unwrap_or("upsert");
    let draft = Draft {
        key: &item.key,
        op: op.parse().map_err(say)?,
        value: item.value,
        audience: item.audience.as_deref(),
        change_id: item.change_id.as_deref(),
        occurred_at: item.occurred_at_ms.map(micros).transpose()?,
    };
    check(module, draft, limits)
}

/// Checks a change against the limits.
pub(super) fn check(
    module: &ModuleName,
    draft: Draft<'_>,
    limits: &Limits,
) -> Result<NewChange, String> {
    let value = match (draft.value, draft.op) {
        (Some(value), _) => JsonText::from(value),
        (None, Op::Delete) => JsonText::null(),
        (None, Op::Upsert) => return Err("value: is missing, only a delete needs none".to_owned()),
    };
    let audience = draft.audience.unwrap_or(Audience::EVERYONE);
    NewChange::check_key(draft.key, limits).map_err(say)?;
    NewChange::check_value_size(value.as_str(), limits).map_err(say)?;
    NewChange::check_value_depth(value.as_str(), limits).map_err(say)?;
    if let Some(id) = draft.change_id {
        NewChange::check_change_id(id, limits).map_err(say)?;
    }
    Ok(NewChange {
        module: module.clone(),
        audience: Audience::new(audience, limits.audience_bytes).map_err(say)?,
        key: draft.key.into(),
        op: draft.op,
        value,
        change_id: draft.change_id.map(Into::into),
        occurred_at: draft.occurred_at,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is handed to map_err as it is"
)]
fn say(invalid: Invalid) -> String {
    invalid.to_string()
}

fn micros(millis: i64) -> Result<Micros, String> {
    let micros = millis.checked_mul(1_000).map(Micros::new);
    micros.ok_or_else(|| "occurred_at_ms: is out of range".to_owned())
}
