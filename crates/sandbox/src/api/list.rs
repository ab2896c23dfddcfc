//! Pages of lists: newest first, from after or before an object.

use serde_json::{Value, json};

use super::Call;
use crate::engine::Row;
use crate::fault::{Answer, Fault};
use crate::model::Time;

/// A page of rows that are given newest first.
pub(super) fn page<'a, T: Row + 'a>(
    call: &Call,
    url: &str,
    newest_first: impl Iterator<Item = &'a T>,
    render: impl Fn(&T) -> Value,
) -> Answer {
    let limit = call.args.integer("limit").unwrap_or(10);
    let Some(limit) = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit)) else {
        let message = "Invalid limit: must be between 1 and 100.";
        return Err(Fault::invalid(message).code("parameter_invalid_integer").param("limit"));
    };
    let rows: Vec<&T> = newest_first.collect();
    let place = |name: &str| match call.args.text(name) {
        None => Ok(None),
        Some(id) => {
            let found = rows.iter().position(|row| row.id() == id);
            found.map(Some).ok_or_else(|| Fault::missing_param(T::NOUN, id, name))
        }
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    if after.is_some() && before.is_some() {
        return Err(Fault::invalid("Only one of starting_after and ending_before can be given."));
    }
    let (start, end, more) = match (after, before) {
        (_, Some(end)) => (end.saturating_sub(limit), end, end > limit),
        (after, None) => {
            let start = after.map_or(0, |place| place + 1);
            (start, (start + limit).min(rows.len()), rows.len() > start + limit)
        }
    };
    let data: Vec<Value> = rows.get(start..end).unwrap_or_default().iter().map(|row| render(row)).collect();
    Ok(json!({ "object": "list", "data": data, "has_more": more, "url": url }))
}

/// Whether a time is within what `created` asks for.
pub(super) fn created(call: &Call, at: Time) -> bool {
    if let Some(exactly) = call.args.integer("created") {
        return at == exactly;
    }
    let bounds = call.args.object("created");
    let holds = |name: &str, test: fn(&Time, &Time) -> bool| bounds.integer(name).is_none_or(|bound| test(&at, &bound));
    holds("gt", Time::gt) && holds("gte", Time::ge) && holds("lt", Time::lt) && holds("lte", Time::le)
}

/// Whether a value is the one that a filter names, if it names any.
pub(super) fn same(call: &Call, name: &str, value: Option<&str>) -> bool {
    call.args.text(name).is_none_or(|wanted| value == Some(wanted))
}
