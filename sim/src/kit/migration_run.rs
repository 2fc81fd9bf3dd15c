//! Whimbrel's own machine as the driver of a migration in a test bed.

use std::fmt;

use whimbrel_core::{Facts, Input, Misuse, Outcome, Request, Spec, SpecError, Verdict};

use super::TestBed;
use crate::driver::{Driver, unwatched};
use crate::world::{GuestId, HostId, MigrateOptions, Moment};

/// After so much virtual time the operator cancels, and after as much again the migration is given up: a test must end.
const PATIENCE_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// A migration for Whimbrel's machine to drive: which guest, from where to where, how, and its operator's requests.
#[derive(Clone, Debug)]
pub struct MigrationRun {
    guest: GuestId,
    source: HostId,
    destination: HostId,
    spec: Spec,
    options: Option<MigrateOptions>,
    rules: fn(&Facts) -> Verdict,
    asked: Vec<(Moment, Request)>,
}

/// Why a course could not be driven. What becomes of the guest is never an error but an [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationRunError {
    /// The spec is out of its bounds.
    Spec(SpecError),
    /// The world broke the protocol of the port: a bug.
    Misuse(Misuse),
    /// The migration has not ended within two days.
    NoEnd,
}

impl MigrationRun {
    /// A migration with default options, and without requests of an operator.
    #[must_use]
    pub fn new(guest: GuestId, source: HostId, destination: HostId) -> Self {
        Self {
            guest,
            source,
            destination,
            spec: Spec::new("guest", "source", "destination"),
            options: None,
            rules: |_| Verdict::default(),
            asked: Vec::new(),
        }
    }

    /// With other limits, timeouts and transfer options. The test bed sets the names in the spec.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// With these flags and parameters of the migrate call, instead of the spec's transfer options.
    #[must_use]
    pub fn with_options(self, options: MigrateOptions) -> Self {
        Self { options: Some(options), ..self }
    }

    /// Judged by these rules before anything is changed; without them everything passes.
    #[must_use]
    pub fn judged_by(self, rules: fn(&Facts) -> Verdict) -> Self {
        Self { rules, ..self }
    }

    /// With a request of an operator at a moment.
    #[must_use]
    pub fn asking(mut self, moment: Moment, request: Request) -> Self {
        self.asked.push((moment, request));
        self
    }
}

impl TestBed {
    /// Lets Whimbrel's machine drive a migration to its end, and returns the outcome.
    ///
    /// # Errors
    /// When the spec is out of its bounds, or on a bug; see [`MigrationRunError`].
    pub fn outcome(&mut self, course: &MigrationRun) -> Result<Outcome, MigrationRunError> {
        let options = course.options.unwrap_or_else(|| course.spec.transfer.into());
        let uri = |host| format!("sim://{}", self.world.inventory(host).name);
        let spec = Spec {
            guest: self.world.machine(course.guest).name.clone(),
            source: uri(course.source),
            destination: uri(course.destination),
            ..course.spec.clone()
        };
        let port = self.world.connect(course.guest, course.source, course.destination, options);
        let mut driver =
            Driver::new(&self.world, port, spec, course.rules).map_err(MigrationRunError::Spec)?;
        for (moment, request) in &course.asked {
            self.world.ask_at(*moment, 0, port, *request);
        }
        let outcome = self.drive(&mut driver);
        self.world.disconnect(port);
        outcome
    }

    fn drive(&mut self, driver: &mut Driver) -> Result<Outcome, MigrationRunError> {
        let begun_ns = self.now_ns();
        let mut give_up_ns = begun_ns.saturating_add(PATIENCE_NS);
        let mut wish = Some(Request::Begin);
        loop {
            let watch = &mut unwatched;
            if let Some(request) = wish.take() {
                driver.ask(&mut self.world, request, watch).map_err(MigrationRunError::Misuse)?;
            }
            if let Some(outcome) = driver.view().outcome {
                return Ok(outcome.clone());
            }
            let until_ns = driver.deadline_ns().map_or(give_up_ns, |at_ns| at_ns.min(give_up_ns));
            match self.world.advance(until_ns) {
                Some((port, event)) if port == driver.port() => {
                    driver.deliver(&mut self.world, event, watch).map_err(MigrationRunError::Misuse)?;
                }
                Some((port, event)) => self.note(port, event),
                None if self.now_ns() < give_up_ns => {
                    driver.feed(&mut self.world, Input::Timer, watch).map_err(MigrationRunError::Misuse)?;
                }
                None if give_up_ns > begun_ns.saturating_add(PATIENCE_NS) => {
                    return Err(MigrationRunError::NoEnd);
                }
                None => {
                    give_up_ns = give_up_ns.saturating_add(PATIENCE_NS);
                    wish = Some(Request::Cancel);
                }
            }
        }
    }
}

impl fmt::Display for MigrationRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(_) => f.write_str("the spec of the migration is out of bounds"),
            Self::Misuse(_) => f.write_str("the simulated world broke the protocol"),
            Self::NoEnd => f.write_str("the migration has not ended within two days"),
        }
    }
}

impl std::error::Error for MigrationRunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spec(error) => Some(error),
            Self::Misuse(error) => Some(error),
            Self::NoEnd => None,
        }
    }
}
