//! The evaluation of the rules before anything is changed, on a thread of its own.
//!
//! The loop must never wait for them: a cancel and the timeout of the verdict are handled while they are evaluated. The
//! verdict is an answer like any other, by the id of its command.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant as Clock;

use whimbrel_core::{Answer, CommandId, Facts, Finding, Observation, Severity, Verdict};
use whimbrel_facts::Facts as Collected;

use super::Message;
use crate::panics;

/// The code of the finding for an evaluation without a verdict.
const PANICKED: &str = "rules.panicked";

type Evaluate = dyn FnOnce(&Facts, Option<Box<Collected>>) -> Verdict + Send;

/// Evaluates the rules for one migration, and sends the verdict. It is used once, and its sender is dropped with it.
pub struct Judge {
    evaluate: Box<Evaluate>,
    inbox: Sender<Message>,
}

impl Judge {
    /// Rules whose verdict is sent to `inbox`, the loop's. They receive the machine's facts and, where the port collected
    /// them, the facts from which those were derived; they may block.
    pub fn new(
        inbox: Sender<Message>,
        evaluate: impl FnOnce(&Facts, Option<Box<Collected>>) -> Verdict + Send + 'static,
    ) -> Self {
        Self { evaluate: Box::new(evaluate), inbox }
    }

    /// No rules at all: every migration is allowed. For tests.
    #[must_use]
    pub fn allow_all(inbox: Sender<Message>) -> Self {
        Self::new(inbox, |_, _| Verdict::default())
    }

    /// Evaluates them on a new thread. If they panic, the verdict refuses: a migration must not start without validation.
    pub(super) fn start(
        self,
        id: CommandId,
        known: Box<Facts>,
        collected: Option<Box<Collected>>,
    ) -> io::Result<()> {
        let Self { evaluate, inbox } = self;
        let run = move || {
            let verdict = catch_unwind(AssertUnwindSafe(|| evaluate(&known, collected)));
            let answer = Answer::Verdict(verdict.unwrap_or_else(|panic| refusal(panics::text(&*panic))));
            let observation = Observation::Answer { to: id, answer };
            // Without a receiver the migration has ended, by a cancel or a timeout.
            let _ = inbox.send(Message::Observed { observation, since: Clock::now() });
        };
        thread::Builder::new().name("rules".to_owned()).spawn(run).map(drop)
    }
}

fn refusal(panic: &str) -> Verdict {
    let finding = Finding {
        code: PANICKED.to_owned(),
        severity: Severity::Error,
        message: format!("the evaluation of the rules panicked: {panic}"),
        remediation: "this is a bug: report it with the text; the guest is untouched".to_owned(),
    };
    Verdict { findings: vec![finding], basis: None }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}
