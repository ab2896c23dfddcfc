//! Where tenants stand, for a round of checks.

use std::collections::{BTreeSet, HashMap};

use rust_decimal::Decimal;
use tenantry_domain::limit::Outlook;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::check::{Question, Verdict};
use super::super::opening::{self, Wanted};
use super::facts::{self, Facts, Need, Reach, Subject};
use super::tallies;
use super::{Recorder, answer};
use crate::storage::usage::aggregated::{self, CounterKey};
use crate::storage::{StoreError, Tx};

impl Recorder {
    /// Answers questions from one snapshot that was taken after they were asked; answers in order.
    pub async fn standings(&self, questions: &[Question]) -> Result<Vec<Verdict>, StoreError> {
        let tenants: Vec<Uuid> =
            questions.iter().map(|question| question.tenant_id).collect::<BTreeSet<_>>().into_iter().collect();
        let needs: Vec<Need<'_>> = questions
            .iter()
            .map(|question| Need {
                actor: question.actor,
                tenant_id: question.tenant_id,
                team_id: question.team_id,
                user_id: None,
                subject: Subject::Metric(&question.metric, question.at),
            })
            .collect();
        let mut opened = false;
        loop {
            let tx = self.db.read_as_service("check_usage", &tenants).await?;
            let facts = facts::read(&tx, &needs, self.env.clock.now()).await?;
            let slots = slots(&tx, questions, &facts).await?;
            tx.rollback().await?;
            let mut missing = BTreeSet::new();
            let mut verdicts = Vec::with_capacity(questions.len());
            for (position, question) in questions.iter().enumerate() {
                let reach = facts.reach(question.actor, question.tenant_id, question.team_id);
                let counter = facts.counter_at(question.tenant_id, &question.metric, question.at);
                match counter.map(|index| &facts.counters[index]) {
                    _ if matches!(reach, Reach::TeamInactive) => verdicts.push(Verdict::TeamInactive),
                    _ if !reach.has(Permission::ViewUsage) => verdicts.push(Verdict::Forbidden),
                    Some(counter) => verdicts.push(Verdict::Standing(Outlook {
                        standing: answer(counter, counter.total, None).standing,
                        aggregation: counter.tallied()?.unwrap_or_default(),
                        in_plan: counter.in_plan,
                        in_slot: Quantity::from_decimal(slots.get(&position).copied().unwrap_or_default()),
                    })),
                    None => {
                        missing.insert(Wanted {
                            tenant_id: question.tenant_id,
                            at: question.at,
                            metric: question.metric.clone(),
                        });
                    }
                }
            }
            if missing.is_empty() {
                return Ok(verdicts);
            }
            if opened {
                return Err(StoreError::corrupt("counters", "a counter is missing after it was opened"));
            }
            // What the metric's limit is follows from the counter, so it is made at 0 as the first event would.
            opening::open(&self.db, &self.env, &missing.into_iter().collect::<Vec<_>>()).await?;
            opened = true;
        }
    }
}

/// What was counted in the slots of now, by the question's position: of metrics that are made of slots.
async fn slots(tx: &Tx, questions: &[Question], facts: &Facts) -> Result<HashMap<usize, Decimal>, StoreError> {
    let mut asked: Vec<(usize, CounterKey<'_>, String)> = Vec::new();
    for (position, question) in questions.iter().enumerate() {
        let Some(index) = facts.counter_at(question.tenant_id, &question.metric, question.at) else { continue };
        let counter = &facts.counters[index];
        if counter.tallied()?.is_some_and(|aggregation| aggregation.slot_seconds().is_some()) {
            let part = tallies::part_of(counter, question.at, &serde_json::Value::Null).unwrap_or_default();
            asked.push((position, (counter.tenant_id, counter.metric.as_str(), counter.period_start), part));
        }
    }
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let distinct: BTreeSet<(CounterKey<'_>, &str)> = asked.iter().map(|(_, key, part)| (*key, part.as_str())).collect();
    let (keys, parts): (Vec<CounterKey<'_>>, Vec<&str>) = distinct.into_iter().unzip();
    let found = aggregated::sums_of(tx, &keys, &parts).await?;
    let sums: HashMap<(CounterKey<'_>, &str), Decimal> = found
        .iter()
        .map(|(row, sum)| (((row.key.0, row.key.1.as_str(), row.key.2), row.part.as_str()), *sum))
        .collect();
    let sum_of = |key: CounterKey<'_>, part: &str| sums.get(&(key, part)).copied();
    Ok(asked.iter().filter_map(|(position, key, part)| Some((*position, sum_of(*key, part)?))).collect())
}
