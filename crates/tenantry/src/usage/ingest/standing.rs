//! Where tenants stand, for a round of checks.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::super::check::{Question, Verdict};
use super::super::opening::{self, Wanted};
use super::super::spend::period::{self, Period, PeriodKey};
use super::facts::{self, Facts, Need, Reach, Subject};
use super::{Recorder, answer, spend};
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
            let watched = self.watched(&tx, questions, &facts).await?;
            tx.rollback().await?;
            let mut missing = BTreeSet::new();
            let mut verdicts = Vec::with_capacity(questions.len());
            for question in questions {
                let reach = facts.reach(question.actor, question.tenant_id, question.team_id);
                let counter = facts.counter_at(question.tenant_id, &question.metric, question.at);
                match counter.map(|index| &facts.counters[index]) {
                    _ if matches!(reach, Reach::TeamInactive) => verdicts.push(Verdict::TeamInactive),
                    _ if !reach.has(Permission::ViewUsage) => verdicts.push(Verdict::Forbidden),
                    Some(counter) => {
                        let standing = answer(counter, counter.total, None).standing;
                        let capped = spend::would_refuse(&watched, counter, question.at, question.amount);
                        verdicts.push(match capped.filter(|_| standing.admits(question.amount)) {
                            None => Verdict::Standing(standing),
                            Some(cap) => {
                                let (tenant, team) = (question.tenant_id, question.team_id);
                                let is_shown = spend::sees_money(&facts, question.actor, tenant, team);
                                Verdict::Capped(standing, is_shown.then_some(cap))
                            }
                        });
                    }
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

    /// The periods that these questions are about, as far as they can cost something that somebody watches.
    async fn watched(
        &self,
        tx: &Tx,
        questions: &[Question],
        facts: &Facts,
    ) -> Result<BTreeMap<PeriodKey, Period>, StoreError> {
        let asked = questions.iter().filter_map(|question| {
            let counter = &facts.counters[facts.counter_at(question.tenant_id, &question.metric, question.at)?];
            let key = (counter.tenant_id, counter.period_start);
            spend::may_cost(counter, question.at).then_some(key)
        });
        period::read(tx, &asked.collect(), self.env.clock.now()).await
    }
}
