//! The queue in front of the recorder: bounded, collected into groups on two lanes, drained at shutdown.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::event::NewEvent;
use super::super::gather::{Gathering, TURNS};
use super::super::outcome::{Outcome, SubmitError};
use super::group::{Member, Recorder};
use super::lane::{Answered, Care};
use super::preview::Preview;
use crate::tenancy::Actor;

/// How groups are made.
#[derive(Debug, Clone, Copy)]
pub struct IngestSettings {
    /// Events that may wait; beyond it callers are told to come back.
    pub queue_limit: usize,
    /// A group is closed when it has this many events. 1000 is the knee of the measured curve.
    pub group_size: usize,
    /// How often a group that is not full lets everything else run that can, in the hope of company. No time passes
    /// where there is nothing to do; while committers are busy, groups grow by themselves.
    pub turns: u32,
    /// Groups that are committed at the same time, on each lane.
    pub committers: usize,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self { queue_limit: 50_000, group_size: 1000, turns: TURNS, committers: 2 }
    }
}

/// Previews that hold locks at the same time; others wait in line, so that they take no connections from recording.
const PREVIEWS_AT_ONCE: usize = 2;

type Answers = Vec<Result<Outcome, SubmitError>>;

struct Submission {
    actor: Actor,
    events: Vec<NewEvent>,
    answer: oneshot::Sender<Answers>,
    /// Room in the queue; given back when the submission was answered.
    _room: OwnedSemaphorePermit,
}

impl Submission {
    fn answer(self, answers: Answers) {
        // A caller that went away reads no answer; its events are recorded all the same.
        let _ = self.answer.send(answers);
    }

    fn answer_all(self, error: SubmitError) {
        let answers = self.events.iter().map(|_| Err(error)).collect();
        self.answer(answers);
    }
}

/// The entrance to recording usage. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    fast: Lane,
    careful: Lane,
    room: Arc<Semaphore>,
    limit: usize,
    recorder: Recorder,
    previews: Arc<Semaphore>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Ingest {
    /// Starts the committers.
    pub fn start(recorder: &Recorder, settings: IngestSettings) -> Self {
        let careful = Lane::start(recorder, settings, None);
        let fast = Lane::start(recorder, settings, Some(careful.sender.clone()));
        Self {
            fast,
            careful,
            room: Arc::new(Semaphore::new(settings.queue_limit)),
            limit: settings.queue_limit,
            recorder: recorder.clone(),
            previews: Arc::new(Semaphore::new(PREVIEWS_AT_ONCE)),
        }
    }

    /// Records events of one caller; answers in order, after they are durable. All of them are taken in or none.
    ///
    /// A caller that goes away does not stop its events: they are recorded, and the same request sent again is
    /// answered as duplicates.
    pub async fn submit(&self, actor: Actor, events: Vec<NewEvent>) -> Result<Answers, SubmitError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = u32::try_from(events.len()).map_err(|_| SubmitError::Overloaded)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(wanted).map_err(|_| {
            metrics::counter!("tenantry_ingest_refused_total", "reason" => "queue_full").increment(1);
            SubmitError::Overloaded
        })?;
        let (answer, answered) = oneshot::channel();
        let lane = if self.recorder.figures.are_among(&events) { &self.careful } else { &self.fast };
        let submission = Submission { actor, events, answer, _room: room };
        lane.sender.send(submission).map_err(|_| SubmitError::ShuttingDown)?;
        // A committer that panicked drops the sender: whether the group was committed is not known.
        answered.await.map_err(|_| SubmitError::Unavailable)
    }

    /// Tells what events of one caller would do, without recording them and without the queue; see [`Preview`].
    pub async fn preview(&self, actor: Actor, events: &[NewEvent]) -> Result<Preview, SubmitError> {
        let _turn = self.previews.acquire().await.map_err(|_| SubmitError::ShuttingDown)?;
        self.recorder.preview(actor, events).await
    }

    /// Events that wait or are being committed.
    pub fn waiting(&self) -> usize {
        self.limit.saturating_sub(self.room.available_permits())
    }

    /// Takes no more events, records those that wait, and stops.
    pub async fn drain(&self) {
        self.fast.end().await;
        // Last, since the fast lane leaves it something to the end.
        self.careful.end().await;
    }
}

/// Requests that wait, and the committers that take them.
#[derive(Clone)]
struct Lane {
    sender: mpsc::UnboundedSender<Submission>,
    closing: CancellationToken,
    committers: Arc<Mutex<JoinSet<()>>>,
}

impl Lane {
    /// Starts the committers of a lane, which may leave requests for another one.
    fn start(
        recorder: &Recorder,
        settings: IngestSettings,
        careful: Option<mpsc::UnboundedSender<Submission>>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Waiting { receiver: Arc::new(Mutex::new(receiver)), closing: CancellationToken::new(), careful };
        let mut committers = JoinSet::new();
        for _ in 0..settings.committers.max(1) {
            committers.spawn(commit_groups(recorder.clone(), waiting.clone(), settings));
        }
        Self { sender, closing: waiting.closing, committers: Arc::new(Mutex::new(committers)) }
    }

    /// Takes no more requests, answers those that wait, and stops.
    async fn end(&self) {
        self.closing.cancel();
        let mut committers = self.committers.lock().await;
        while let Some(ended) = committers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a committer of usage ended badly");
            }
        }
    }
}

/// What the committers of a lane take from, and where they leave what is not for them.
#[derive(Clone)]
struct Waiting {
    receiver: Arc<Mutex<mpsc::UnboundedReceiver<Submission>>>,
    closing: CancellationToken,
    /// None where they are the careful lane's.
    careful: Option<mpsc::UnboundedSender<Submission>>,
}

async fn commit_groups(recorder: Recorder, waiting: Waiting, settings: IngestSettings) {
    let mut gathering = Gathering::new(settings.turns);
    while let Some(submissions) = collect(&waiting, settings.group_size, &mut gathering).await {
        let started = Instant::now();
        let mut answers = commit(&recorder, &submissions, waiting.careful.is_some()).await.into_iter();
        metrics::histogram!("tenantry_ingest_group_seconds").record(started.elapsed());
        for submission in submissions {
            let own: Vec<Answered> = answers.by_ref().take(submission.events.len()).collect();
            match (own.into_iter().collect(), &waiting.careful) {
                (Some(own), _) => submission.answer(own),
                (None, Some(careful)) => leave(submission, careful),
                // Nothing of a group that leaves nothing is without an answer.
                (None, None) => submission.answer_all(SubmitError::Internal),
            }
        }
    }
}

/// Records the events of these requests as one group; without an answer are those of requests that were left.
async fn commit(recorder: &Recorder, submissions: &[Submission], may_leave: bool) -> Vec<Answered> {
    let group: Vec<Member<'_>> = submissions
        .iter()
        .flat_map(|submission| submission.events.iter().map(|event| (&submission.actor, event)))
        .collect();
    let requests: Vec<Range<usize>> = submissions
        .iter()
        .scan(0, |end, submission| {
            let start = *end;
            *end += submission.events.len();
            Some(start..*end)
        })
        .collect();
    let care = if may_leave { Care::Elsewhere(&requests) } else { Care::First };
    #[expect(clippy::cast_precision_loss, reason = "a group has thousands of events")]
    metrics::histogram!("tenantry_ingest_group_events").record(group.len() as f64);
    // A bug must cost its group the answer, not everybody the committer.
    let outcome = AssertUnwindSafe(recorder.run(&group, care)).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        tracing::error!(events = group.len(), "recording a group of usage events panicked");
        group.iter().map(|_| Some(Err(SubmitError::Unavailable))).collect()
    })
}

fn leave(submission: Submission, careful: &mpsc::UnboundedSender<Submission>) {
    metrics::counter!("tenantry_ingest_left_total").increment(submission.events.len() as u64);
    // Nobody takes it where the careful lane's committers ended badly, which is in the log then.
    if let Err(mpsc::error::SendError(submission)) = careful.send(submission) {
        submission.answer_all(SubmitError::Unavailable);
    }
}

/// Waits for the first submission, then takes what else is there or comes while everything else that can run does, its
/// readers of sockets among it. Whole requests only, so that one request is one transaction. None when the queue was
/// closed and is empty.
async fn collect(waiting: &Waiting, group_size: usize, gathering: &mut Gathering) -> Option<Vec<Submission>> {
    let mut receiver = waiting.receiver.lock().await;
    let first = tokio::select! {
        biased;
        first = receiver.recv() => first?,
        () = waiting.closing.cancelled() => {
            // What was taken in before is still answered; nothing new gets in.
            receiver.close();
            receiver.recv().await?
        }
    };
    let mut events = first.events.len();
    let mut submissions = vec![first];
    while events < group_size
        && let Some(next) = gathering.next(|| receiver.try_recv().ok()).await
    {
        events += next.events.len();
        submissions.push(next);
    }
    Some(submissions)
}
