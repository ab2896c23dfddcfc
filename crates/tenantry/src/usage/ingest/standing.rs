//! Where tenants stand, for a round of checks.

use std::collections::BTreeSet;

use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::super::check::{Question, Verdict};
use super::super::opening::{self, Wanted};
use super::facts::{self, Need, Reach, Subject};
use super::{Recorder, answer};
use crate::storage::StoreError;

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
            tx.rollback().await?;
            let mut missing = BTreeSet::new();
            let mut verdicts = Vec::with_capacity(questions.len());
            for question in questions {
                let reach = facts.reach(question.actor, question.tenant_id, question.team_id);
                let counter = facts.counter_at(question.tenant_id, &question.metric, question.at);
                match counter.map(|index| &facts.counters[index]) {
                    _ if matches!(reach, Reach::TeamInactive) => verdicts.push(Verdict::TeamInactive),
                    _ if !reach.has(Permission::ViewUsage) => verdicts.push(Verdict::Forbidden),
                    Some(counter) => verdicts.push(Verdict::Standing(answer(counter, counter.total, None).standing)),
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
