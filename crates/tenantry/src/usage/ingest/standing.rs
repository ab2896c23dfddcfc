//! Where tenants stand, for a round of checks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::limit::Outlook;
use tenantry_domain::metric::Aggregation;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::check::{Question, Verdict};
use super::super::opening::{self, Wanted};
use super::super::spend::period::{self, Period, PeriodKey};
use super::facts::{self, Facts, Need, Reach, Subject};
use super::tallies;
use super::{Recorder, answer, spend};
use crate::storage::usage::aggregated::{self, Around, CounterKey, PartRow};
use crate::storage::usage::facts::CounterRow;
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
            let watched = self.watched(&tx, questions, &facts).await?;
            tx.rollback().await?;
            let mut missing = BTreeSet::new();
            let mut verdicts = Vec::with_capacity(questions.len());
            for (position, question) in questions.iter().enumerate() {
                let reach = facts.reach(question.actor, question.tenant_id, question.team_id);
                let counter = facts.counter_at(question.tenant_id, &question.metric, question.at);
                match counter.map(|index| &facts.counters[index]) {
                    _ if matches!(reach, Reach::TeamInactive) => verdicts.push(Verdict::TeamInactive),
                    _ if !reach.has(Permission::ViewUsage) => verdicts.push(Verdict::Forbidden),
                    Some(counter) => {
                        let outlook = outlook(counter, slots.get(&position))?;
                        verdicts.push(verdict(question, (counter, outlook), &watched, &facts));
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

/// A slot of now: what was counted in it, and what a percentile can be, whatever that comes to.
type Slot = (Decimal, Around);

fn outlook(counter: &CounterRow, slot: Option<&Slot>) -> Result<Outlook, StoreError> {
    let (in_slot, (least, most)) = slot.copied().unwrap_or_default();
    Ok(Outlook {
        standing: answer(counter, counter.total, None).standing,
        aggregation: counter.tallied()?.unwrap_or_default(),
        in_plan: counter.in_plan,
        in_slot: Quantity::from_decimal(in_slot),
        around: (Quantity::from_decimal(least), most.map(Quantity::from_decimal)),
    })
}

fn verdict(
    question: &Question,
    (counter, outlook): (&CounterRow, Outlook),
    watched: &BTreeMap<PeriodKey, Period>,
    facts: &Facts,
) -> Verdict {
    let growth = outlook.growth(question.amount);
    if !outlook.admits(question.amount) || growth <= Quantity::ZERO {
        return Verdict::Standing(outlook);
    }
    match spend::would_refuse(watched, counter, question.at, growth) {
        None => Verdict::Standing(outlook),
        Some(cap) => {
            let is_shown = spend::sees_money(facts, question.actor, question.tenant_id, question.team_id);
            Verdict::Capped(outlook, is_shown.then_some(cap))
        }
    }
}

/// A question about a metric that is made of slots.
struct Asked<'a> {
    position: usize,
    amount: Decimal,
    counter: &'a CounterRow,
    /// The slot of now.
    part: String,
    /// How many slots are free, of a percentile.
    free: Option<i64>,
}

impl<'a> Asked<'a> {
    fn of(position: usize, question: &Question, facts: &'a Facts) -> Result<Option<Self>, StoreError> {
        let Some(index) = facts.counter_at(question.tenant_id, &question.metric, question.at) else { return Ok(None) };
        let counter = &facts.counters[index];
        let Some(aggregation) = counter.tallied()?.filter(|aggregation| aggregation.slot_seconds().is_some()) else {
            return Ok(None);
        };
        let free = aggregation.free_slots((counter.period_start, counter.period_end));
        Ok(Some(Self {
            position,
            amount: question.amount.as_decimal(),
            counter,
            part: tallies::part_of(counter, question.at, &serde_json::Value::Null).unwrap_or_default(),
            free: matches!(aggregation, Aggregation::Percentile { .. }).then_some(free),
        }))
    }

    fn slot(&self) -> (CounterKey<'_>, &str) {
        ((self.counter.tenant_id, self.counter.metric.as_str(), self.counter.period_start), &self.part)
    }

    fn place(&self) -> Place {
        (self.counter.tenant_id, self.counter.metric.clone(), self.counter.period_start, self.part.clone())
    }
}

/// (tenant, metric, first instant of the period, slot).
type Place = (Uuid, String, Timestamp, String);

fn place(row: PartRow) -> Place {
    (row.key.0, row.key.1, row.key.2, row.part)
}

/// The slots of now, by the question's position: of metrics that are made of slots.
async fn slots(tx: &Tx, questions: &[Question], facts: &Facts) -> Result<HashMap<usize, Slot>, StoreError> {
    let asked = questions.iter().enumerate().map(|(position, question)| Asked::of(position, question, facts));
    let asked: Vec<Asked<'_>> = asked.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let distinct: BTreeSet<(CounterKey<'_>, &str)> = asked.iter().map(Asked::slot).collect();
    let (keys, parts): (Vec<CounterKey<'_>>, Vec<&str>) = distinct.into_iter().unzip();
    let mut found: HashMap<Place, Slot> = HashMap::new();
    for (row, sum) in aggregated::sums_of(tx, &keys, &parts).await? {
        found.entry(place(row)).or_default().0 = sum;
    }
    let mut unknown: BTreeMap<(CounterKey<'_>, &str), i64> = BTreeMap::new();
    for (asked, free) in asked.iter().filter_map(|asked| asked.free.map(|free| (asked, free))) {
        let (figure, slot) = (asked.counter.total, found.entry(asked.place()).or_default());
        if slot.0 + asked.amount <= figure {
            // A percentile stays what it is where the slot does not get above it.
            slot.1 = (figure, Some(figure));
        } else {
            unknown.insert(asked.slot(), free);
        }
    }
    if !unknown.is_empty() {
        let (slots, free): (Vec<(CounterKey<'_>, &str)>, Vec<i64>) = unknown.into_iter().unzip();
        let (keys, parts): (Vec<CounterKey<'_>>, Vec<&str>) = slots.into_iter().unzip();
        for (row, around) in aggregated::around(tx, &keys, &parts, &free).await? {
            found.entry(place(row)).or_default().1 = around;
        }
    }
    Ok(asked.iter().filter_map(|asked| Some((asked.position, *found.get(&asked.place())?))).collect())
}
