//! Whether a tenant may still use something: checks of many requests are answered by one read a round.
//!
//! The read begins after the check arrived, so it includes every event that any replica had answered by then.

use std::sync::Arc;

use jiff::Timestamp;
use tenantry_domain::limit::Outlook;
use tenantry_domain::quantity::Quantity;
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::gather::{Gathering, TURNS};
use super::ingest::Recorder;
use super::outcome::{SpendCap, SubmitError};
use crate::tenancy::Actor;

/// A question: may this tenant use so much more of this metric?
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks; needs `viewUsage`.
    pub actor: Actor,
    /// The tenant.
    pub tenant_id: Uuid,
    /// The team in whose name a user asks; the tenant is its owner's.
    pub team_id: Option<Uuid>,
    /// The metric; declared by the catalog.
    pub metric: String,
    /// How much; more than 0.
    pub amount: Quantity,
    /// When the request arrived.
    pub at: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Where the metric stands, and what one more event is judged by.
    Standing(Outlook),
    /// Where the metric stands; within its limit, but a spend cap would refuse the amount. Which, where the caller may
    /// see what use costs.
    Capped(Outlook, Option<SpendCap>),
    /// The caller may not see the tenant's usage.
    Forbidden,
    /// The owner of the caller's team has no plan to share.
    TeamInactive,
}

/// Questions that are answered in one round at the most.
const ROUND: usize = 1000;

struct Asked {
    question: Question,
    answer: oneshot::Sender<Result<Verdict, SubmitError>>,
}

/// Collects checks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checks {
    sender: mpsc::Sender<Asked>,
}

impl Checks {
    /// Starts answering. `waiting` bounds the questions in line; `readers` how many rounds run at once.
    pub fn start(recorder: &Recorder, waiting: usize, readers: usize) -> Self {
        let (sender, receiver) = mpsc::channel(waiting.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..readers.max(1) {
            tokio::spawn(answer_rounds(recorder.clone(), Arc::clone(&receiver)));
        }
        Self { sender }
    }

    /// Asks.
    pub async fn ask(&self, question: Question) -> Result<Verdict, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Asked { question, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::ShuttingDown,
        })?;
        answered.await.map_err(|_| SubmitError::Unavailable)?
    }
}

async fn answer_rounds(recorder: Recorder, receiver: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    let mut gathering = Gathering::new(TURNS);
    loop {
        let Some(round) = collect(&receiver, &mut gathering).await else { return };
        let (questions, answers): (Vec<Question>, Vec<_>) =
            round.into_iter().map(|asked| (asked.question, asked.answer)).unzip();
        match recorder.standings(&questions).await {
            Ok(verdicts) => {
                for (answer, verdict) in answers.into_iter().zip(verdicts) {
                    // Whoever asked may have gone away.
                    let _ = answer.send(Ok(verdict));
                }
            }
            Err(error) => {
                tracing::warn!(%error, checks = answers.len(), "checks could not be answered");
                for answer in answers {
                    let _ = answer.send(Err(SubmitError::Unavailable));
                }
            }
        }
    }
}

/// Waits for the first question, then takes what else is there or comes.
async fn collect(receiver: &Mutex<mpsc::Receiver<Asked>>, gathering: &mut Gathering) -> Option<Vec<Asked>> {
    let mut receiver = receiver.lock().await;
    let mut round = vec![receiver.recv().await?];
    while round.len() < ROUND
        && let Some(next) = gathering.next(|| receiver.try_recv().ok()).await
    {
        round.push(next);
    }
    Some(round)
}
