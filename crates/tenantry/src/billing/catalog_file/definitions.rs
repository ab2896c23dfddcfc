//! What the file says of metrics whatever the plan: `[metrics.tokens]` beside `[[plans]]`.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::metric::{DimensionName, MOST_DIMENSIONS, MetricDefinition};
use tenantry_domain::plan::{Catalog, MetricName};

use super::table::{Field, Problems, Table};

/// The catalog with what is said of its metrics; none where a problem was noted.
pub(super) fn with_definitions(catalog: Catalog, metrics: &Field<'_>, problems: &mut Problems<'_>) -> Option<Catalog> {
    let before = problems.count();
    let mut definitions = BTreeMap::new();
    for (name, field) in metrics.table(problems)?.into_fields() {
        let name = name.parse::<MetricName>().map_err(|error| field.wrong(error, problems)).ok();
        let definition = field.table(problems).and_then(|table| definition(table, problems));
        if let Some(name) = &name
            && !catalog.declares_metric(name.as_str())
        {
            field
                .wrong("no plan names this metric; give it to a plan under [plans.metrics] or take this out", problems);
        }
        if let (Some(name), Some(definition)) = (name, definition) {
            definitions.insert(name, definition);
        }
    }
    if problems.count() > before {
        return None;
    }
    catalog.with_definitions(definitions).map_err(|error| problems.add(None, "", &error)).ok()
}

fn definition(mut table: Table<'_>, problems: &mut Problems<'_>) -> Option<MetricDefinition> {
    let dimensions = table.take("dimensions");
    table.finish(problems);
    let dimensions = dimensions.map_or(Some(BTreeSet::new()), |field| dimensions_of(&field, problems))?;
    Some(MetricDefinition { dimensions })
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
