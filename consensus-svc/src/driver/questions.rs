//! Questions to the machine: answered between two inputs, also while no input is taken.

use std::time::Duration;

use consensus_core::{Explanation, Timestamp};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Questions that wait for the driver; an answer costs about one run of the commit rule.
const WAITING_QUESTIONS: usize = 4;
/// How long the driver may take to answer.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// What the machine waits for, and when that was so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it waits for.
    pub explanation: Explanation,
    /// The machine's time.
    pub at: Timestamp,
}

/// One question: where the answer goes.
pub type Question = oneshot::Sender<Answer>;

/// Asks the driver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Questioner(mpsc::Sender<Question>);

impl Questioner {
    /// A questioner, and what the driver answers from.
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(WAITING_QUESTIONS);
        (Self(questions), asked)
    }

    /// What the machine waits for; `None` if the driver does not answer within [`ANSWER_DEADLINE`], or has ended. A question
    /// that nobody waits for any more costs the driver nothing.
    pub async fn ask(&self) -> Option<Answer> {
        let asking = async {
            let (question, answer) = oneshot::channel();
            self.0.send(question).await.ok()?;
            answer.await.ok()
        };
        timeout(ANSWER_DEADLINE, asking).await.ok().flatten()
    }
}
