//! What a catalog file says of metrics for all plans: `[metrics.NAME]`.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::metric::{
    Aggregation, DEFAULT_SLOT_MINUTES, DimensionName, MOST_DIMENSIONS, MetricDefinition, SLOT_MINUTES, is_field,
};
use tenantry_domain::plan::{MetricName, Plan};

use super::table::{Field, Problems, Table};

/// What is said of a metric.
pub(super) struct Defined<'d> {
    /// What every plan that names it takes over.
    pub(super) definition: MetricDefinition,
    /// What it is reported by besides.
    dimensions: BTreeSet<DimensionName>,
    /// Its place in the file.
    field: Field<'d>,
}

/// Definitions by metric.
pub(super) type Definitions<'d> = BTreeMap<MetricName, Defined<'d>>;

/// Reads the table; what is wrong is left out and noted.
pub(super) fn read<'d>(field: &Field<'d>, problems: &mut Problems<'_>) -> Definitions<'d> {
    let Some(table) = field.table(problems) else { return Definitions::new() };
    let mut definitions = Definitions::new();
    for (name, field) in table.into_fields() {
        let name = name.parse::<MetricName>().map_err(|error| field.wrong(error, problems)).ok();
        let defined = field.table(problems).and_then(|table| defined(table, field, problems));
        if let (Some(name), Some(defined)) = (name, defined) {
            definitions.insert(name, defined);
        }
    }
    definitions
}

/// A definition of a metric that no plan names does nothing: most likely its name is misspelled.
pub(super) fn check_named<'p>(
    definitions: &Definitions<'_>,
    plans: &(impl Iterator<Item = &'p Plan> + Clone),
    problems: &mut Problems<'_>,
) {
    for (name, Defined { field, .. }) in definitions {
        if !plans.clone().any(|plan| plan.metrics.contains_key(name)) {
            field.wrong("is named by no plan; write [plans.metrics] for it, or take this out", problems);
        }
    }
}

/// Dimensions by metric; those without any are left out.
pub(super) fn dimensions(definitions: Definitions<'_>) -> BTreeMap<MetricName, BTreeSet<DimensionName>> {
    let dimensions = definitions.into_iter().map(|(name, defined)| (name, defined.dimensions));
    dimensions.filter(|(_, names)| !names.is_empty()).collect()
}

fn defined<'d>(mut table: Table<'d>, field: Field<'d>, problems: &mut Problems<'_>) -> Option<Defined<'d>> {
    let aggregation = aggregation(&mut table, problems);
    let named = table.take("dimensions");
    table.finish(problems);
    let dimensions = named.as_ref().map_or(Some(BTreeSet::new()), |field| dimensions_of(field, problems));
    if let (Some(named), Some(aggregation)) = (&named, &aggregation)
        && !aggregation.is_sum()
    {
        named.wrong("is for sums: other figures do not add up to one; take this or the aggregation out", problems);
    }
    Some(Defined { definition: MetricDefinition { aggregation: aggregation? }, dimensions: dimensions?, field })
}

fn dimensions_of(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<BTreeSet<DimensionName>> {
    let names = field.list::<DimensionName>(problems)?;
    let count = names.len();
    let names: BTreeSet<DimensionName> = names.into_iter().collect();
    if names.len() < count {
        field.wrong("names a dimension twice", problems);
        return None;
    }
    if names.len() > MOST_DIMENSIONS {
        field.wrong(format_args!("has {count} dimensions; a metric has at most {MOST_DIMENSIONS}"), problems);
        return None;
    }
    Some(names)
}

fn aggregation(table: &mut Table<'_>, problems: &mut Problems<'_>) -> Option<Aggregation> {
    let (place, at) = (table.place.clone(), table.at);
    let named = table.take("aggregation");
    let (field, percentile, slot_minutes) = (table.take("field"), table.take("percentile"), table.take("slot_minutes"));
    let name = match &named {
        Some(named) => named.text(problems)?,
        None => "sum",
    };
    let only_of = |found: &Option<Field<'_>>, kind: &str, problems: &mut Problems<'_>| {
        if let Some(found) = found
            && name != kind
        {
            found.wrong(format_args!("is for aggregation = {kind:?}"), problems);
        }
    };
    only_of(&field, "unique", problems);
    only_of(&percentile, "percentile", problems);
    only_of(&slot_minutes, "percentile", problems);
    match name {
        "sum" => Some(Aggregation::Sum),
        "max" => Some(Aggregation::Max),
        "last" => Some(Aggregation::Last),
        "peak" => Some(Aggregation::Peak),
        "unique" => {
            let Some(field) = field else {
                problems.add(
                    Some(at),
                    &format!("{place}.field"),
                    &"is missing; write for instance field = \"endUser\"",
                );
                return None;
            };
            let text = field.text(problems)?;
            if !is_field(text) {
                field.wrong("must be the name of a metadata field, 1 to 64 printable characters", problems);
                return None;
            }
            Some(Aggregation::Unique { field: text.to_owned() })
        }
        "percentile" => {
            let Some(percentile) = percentile else {
                problems.add(
                    Some(at),
                    &format!("{place}.percentile"),
                    &"is missing; write for instance percentile = 95",
                );
                return None;
            };
            let percent = u8::try_from(percentile.whole(1, 100, problems)?).ok()?;
            let slot_minutes = slot_minutes.map_or(Some(DEFAULT_SLOT_MINUTES), |field| minutes(&field, problems))?;
            Some(Aggregation::Percentile { percent, slot_minutes })
        }
        _ => {
            let reason = format!("{name:?} is none of sum, max, last, unique, peak, percentile");
            problems.add(named.as_ref().map(|named| named.at), &format!("{place}.aggregation"), &reason);
            None
        }
    }
}

fn minutes(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<u8> {
    let minutes = u8::try_from(field.whole(1, 60, problems)?).ok()?;
    if !SLOT_MINUTES.contains(&minutes) {
        field.wrong("must be 5, 6, 10, 12, 15, 20, 30 or 60: slots divide an hour", problems);
        return None;
    }
    Some(minutes)
}
