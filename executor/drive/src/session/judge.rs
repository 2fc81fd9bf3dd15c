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

use whimbrel_core::{Answer, CommandId, Finding, Observation, Severity, Verdict};
use whimbrel_facts::Facts;

use super::Message;
use crate::panics;

/// The codes of the findings for an evaluation without a verdict.
const PANICKED: &str = "rules.panicked";
const NO_FACTS: &str = "rules.no-facts";

type Evaluate = dyn FnOnce(Option<Box<Facts>>) -> Verdict + Send;

/// Evaluates the rules for one migration, and sends the verdict. It is used once, and its sender is dropped with it.
pub struct Judge {
    evaluate: Box<Evaluate>,
    inbox: Sender<Message>,
}

impl Judge {
    /// Rules whose verdict is sent to `inbox`, the loop's. They receive the facts that the port collected; they may block.
    /// Without facts they are not evaluated, and the verdict refuses.
    pub fn new(inbox: Sender<Message>, evaluate: impl FnOnce(Facts) -> Verdict + Send + 'static) -> Self {
        let evaluate = |collected: Option<Box<Facts>>| match collected {
            Some(facts) => evaluate(*facts),
            None => refusal(NO_FACTS, "the port collected no facts for the rules".to_owned()),
        };
        Self { evaluate: Box::new(evaluate), inbox }
    }

    /// No rules at all: every migration is allowed. For tests.
    #[must_use]
    pub fn allow_all(inbox: Sender<Message>) -> Self {
        Self { evaluate: Box::new(|_| Verdict::default()), inbox }
    }

    /// Evaluates them on a new thread. If they panic, the verdict refuses: a migration must not start without validation.
    pub(super) fn start(self, id: CommandId, collected: Option<Box<Facts>>) -> io::Result<()> {
        let Self { evaluate, inbox } = self;
        let run = move || {
            let verdict = catch_unwind(AssertUnwindSafe(|| evaluate(collected)));
            let answer = Answer::Verdict(verdict.unwrap_or_else(|panic| {
                refusal(PANICKED, format!("the evaluation of the rules panicked: {}", panics::text(&*panic)))
            }));
            let observation = Observation::Answer { to: id, answer };
            // Without a receiver the migration has ended, by a cancel or a timeout.
            let _ = inbox.send(Message::Observed { observation, since: Clock::now() });
        };
        thread::Builder::new().name("rules".to_owned()).spawn(run).map(drop)
    }
}

fn refusal(code: &str, message: String) -> Verdict {
    let finding = Finding {
        code: code.to_owned(),
        severity: Severity::Error,
        message,
        remediation: "this is a bug: report it with the text; the guest is untouched".to_owned(),
    };
    Verdict { findings: vec![finding], basis: None }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn without_facts_the_rules_refuse() {
        let (inbox, messages) = channel();
        let judge = Judge::new(inbox, |_| Verdict::default());
        judge.start(CommandId(7), None).unwrap();
        let Message::Observed { observation: Observation::Answer { to, answer }, .. } =
            messages.recv().unwrap()
        else {
            panic!("the verdict is an answer")
        };
        assert_eq!(to, CommandId(7));
        assert!(matches!(answer, Answer::Verdict(verdict) if !verdict.allows()));
    }
}
