//! Steps one after the other, each with its time, up to the first that fails.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::job::Job;

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
}

#[derive(Debug)]
struct Done {
    name: &'static str,
    took: Duration,
    note: String,
}

impl Steps {
    /// Runs a job as a step of its own.
    pub(crate) fn job(&mut self, name: &'static str, job: &Job) -> Result<(), Error> {
        self.step(name, &job.to_string(), || job.run().map(|()| String::new()))
    }

    /// Does a step. `alone` is what one types to do it without the others; what the step gives is noted in the table.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        alone: &str,
        run: impl FnOnce() -> Result<String, Error>,
    ) -> Result<(), Error> {
        println!("\n=== {name}: {alone}");
        let began = Instant::now();
        let result = run();
        let note = result.as_ref().map_or_else(|_| "failed".to_owned(), Clone::clone);
        self.done.push(Done { name, took: began.elapsed(), note });
        result.map(drop).map_err(|source| Error::Step {
            name,
            alone: alone.to_owned(),
            source: Box::new(source),
        })
    }

    /// Every step with its time, and the sum.
    pub(crate) fn table(&self) -> String {
        let total = self.done.iter().map(|done| done.took).sum();
        let row = |name: &str, took: Duration, note: &str| {
            let seconds = took.as_secs();
            let line = format!("{name:<22}{:>4} min {:>2} s  {note}", seconds / 60, seconds % 60);
            line.trim_end().to_owned() + "\n"
        };
        let rows = self.done.iter().map(|done| row(done.name, done.took, &done.note));
        rows.chain([row("total", total, "")]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;
    use crate::error::Error;
    use crate::job::Job;

    #[test]
    fn a_step_that_fails_says_which_and_how_to_run_it_alone() {
        let mut steps = Steps::default();
        steps.step("first", "cargo first", || Ok("a note".to_owned())).unwrap();
        let failed = steps.job("second", &Job::new("false", "")).unwrap_err();
        assert!(matches!(&failed, Error::Step { name: "second", alone, .. } if alone == "false"));
        let table = steps.table();
        let rows: Vec<_> = table.lines().collect();
        assert!(rows.len() == 3 && rows[0].ends_with("a note") && rows[1].ends_with("failed"), "{table}");
    }
}
