//! Groups of a report: by day, user, metric, or a dimension that the catalog declares.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenantry_domain::metric::{Aggregation, DimensionName, DimensionNameError};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::report::{MetricUsage, ReportError};
use crate::storage::Tx;
use crate::storage::usage::dimensions::NEVER;
use crate::storage::usage::report::{self as rows, SumRow, UsedRow};

/// What a report is grouped by, beside the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Days, UTC.
    Day,
    /// Users.
    User,
    /// Nothing else.
    Metric,
    /// What events say of themselves under this name.
    Dimension(DimensionName),
}

/// A text that reports are not grouped by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reports are grouped by day, user, metric or a dimension of the plan catalog: {0}")]
pub struct GroupByError(#[from] DimensionNameError);

impl FromStr for GroupBy {
    type Err = GroupByError;
    fn from_str(text: &str) -> Result<Self, GroupByError> {
        Ok(match text {
            "day" => Self::Day,
            "user" => Self::User,
            "metric" => Self::Metric,
            other => Self::Dimension(other.parse()?),
        })
    }
}

/// A part of what was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The metric.
    pub metric: String,
    /// Day as `YYYY-MM-DD`, id of the user, name of the metric, or value of the dimension; none for what has none.
    pub key: Option<String>,
    /// Sum of amounts.
    pub total: Quantity,
    /// Number of events, corrections included.
    pub count: i64,
}

/// What is asked of a report beside its span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// This metric alone.
    pub metric: Option<&'a str>,
    /// Groups of this kind, too.
    pub group_by: Option<&'a GroupBy>,
}

/// Refuses groups of a metric whose figures do not add up.
pub(super) fn adds_up(metric: &str, group_by: &GroupBy, aggregation: &Aggregation) -> Result<(), ReportError> {
    if aggregation.is_sum() || *group_by == GroupBy::Metric {
        return Ok(());
    }
    Err(ReportError::NoSum { metric: metric.to_owned(), aggregation: aggregation.clone() })
}

/// The groups of a span by metric and key. What each user used, and each metric, was read in the same snapshot. Metrics that
/// are no sums are in no groups but those by metric.
pub(super) async fn groups(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    span: (Timestamp, Timestamp),
    (metric, group_by): (Option<&str>, &GroupBy),
    (by_user, by_metric): (&[UsedRow], &BTreeMap<String, MetricUsage>),
) -> Result<Vec<Group>, ReportError> {
    let mut groups = Groups::default();
    match group_by {
        GroupBy::User => {
            for row in by_user {
                let user = (!row.user_id.is_nil()).then(|| row.user_id.to_string());
                groups.add(&row.metric, user, (row.amount, row.event_count));
            }
        }
        GroupBy::Metric => return Ok(by_metric.iter().map(Group::of_metric).collect()),
        GroupBy::Day => {
            for row in rows::used_by_span(tx, (tenant, only), span, metric).await? {
                let day = row.key.to_zoned(TimeZone::UTC).date().to_string();
                groups.add(&row.metric, Some(day), (row.amount, row.event_count));
            }
        }
        GroupBy::Dimension(name) => {
            check(tx, (tenant, only), span, metric, name).await?;
            for SumRow { metric, key, amount, event_count } in
                rows::used_by_value(tx, tenant, span, metric, name.as_str()).await?
            {
                groups.add(&metric, (!key.is_empty()).then_some(key), (amount, event_count));
            }
        }
    }
    Ok(groups.into_list(by_metric))
}

impl Group {
    fn of_metric((name, used): (&String, &MetricUsage)) -> Self {
        Self { metric: name.clone(), key: Some(name.clone()), total: used.total, count: used.count }
    }
}

/// Refuses a dimension that cannot answer for the whole span.
async fn check(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    span: (Timestamp, Timestamp),
    metric: Option<&str>,
    name: &DimensionName,
) -> Result<(), ReportError> {
    if only.is_some() {
        return Err(ReportError::NotOfOneUser);
    }
    let declared = rows::declared(tx, tenant, span, metric, name.as_str()).await?;
    if declared.is_empty() {
        return Err(ReportError::Undeclared(name.clone()));
    }
    match declared.into_iter().filter_map(|(_, since)| since).max() {
        None => Ok(()),
        Some(since) => Err(ReportError::NotSummed { name: name.clone(), since: (since < NEVER).then_some(since) }),
    }
}

/// Sums by metric and key.
#[derive(Default)]
struct Groups(BTreeMap<(String, Option<String>), (Quantity, i64)>);

impl Groups {
    fn add(&mut self, metric: &str, key: Option<String>, (amount, count): (rust_decimal::Decimal, i64)) {
        let sum = self.0.entry((metric.to_owned(), key)).or_default();
        sum.0 = sum.0 + Quantity::from_decimal(amount);
        sum.1 += count;
    }

    fn into_list(self, by_metric: &BTreeMap<String, MetricUsage>) -> Vec<Group> {
        let is_sum = |metric: &str| by_metric.get(metric).is_none_or(|used| used.aggregation.is_sum());
        let all = self.0.into_iter().map(|((metric, key), (total, count))| Group { metric, key, total, count });
        // What was taken away again was no usage of the span.
        all.filter(|group| group.count != 0 && is_sum(&group.metric)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_three_words_is_a_dimension() {
        assert_eq!("day".parse(), Ok(GroupBy::Day));
        assert_eq!("user".parse(), Ok(GroupBy::User));
        assert_eq!("metric".parse(), Ok(GroupBy::Metric));
        assert_eq!("model".parse(), Ok(GroupBy::Dimension("model".parse().unwrap())));
        for bad in ["week", "hour", "", "a b"] {
            assert!(bad.parse::<GroupBy>().is_err(), "{bad}");
        }
    }
}
