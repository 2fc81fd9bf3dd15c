//! Verdicts on courses of syncs, as sentences.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_core::Instant;
use whimbrel_policy::forecast::{Model, Plan, Verdict};
use whimbrel_policy::script::Script;
use whimbrel_policy::{
    AutoConverge, Beforehand, Decision, FixedDowntime, Intent, Policy, Seen, Start, ThrottleResponse,
};

/// Keeps a model, and its verdict at each sync.
#[derive(Debug)]
struct Listener {
    start: Start,
    intent: Intent,
    model: Option<Model>,
    verdicts: Vec<(Verdict, String)>,
}

impl Policy for Listener {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        self.intent = *intent;
        let (fixed, response) = (FixedDowntime::default(), ThrottleResponse::default());
        self.model = Some(Model::new(before, self.start, fixed, response));
        self.start
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let model = self.model.as_mut().unwrap();
        model.on(now, seen);
        if let Seen::Sync(_) = seen {
            let assessment = model.assess(&self.intent);
            self.verdicts.push((assessment.verdict, assessment.to_string()));
        }
        Decision::WAIT
    }
}

fn listen(script: &Script, start: Start, until_ms: u64) -> Listener {
    let mut listener = Listener { start, intent: Intent::default(), model: None, verdicts: Vec::new() };
    script.play(&mut listener, until_ms);
    listener
}

fn last(listener: &Listener) -> (Verdict, &str) {
    listener.verdicts.last().map(|(verdict, sentence)| (*verdict, sentence.as_str())).unwrap()
}

/// The passes of a guest of one class under a limit, by QEMU's loop: bursts of 50 ms until less than the threshold is
/// left, then a sync, of which the unsent part hides what was dirtied again.
fn passes(memory_mib: u64, link: u64, limit_ms: u64, (size_mib, rate): (f64, f64), until_ms: u64) -> Script {
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let real = |count: u64| count as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let whole = |value: f64| value.round() as u64;
    let mut script = Script::new(memory_mib, link);
    let (mut at_ms, mut left, mut dirty) = (0, real(memory_mib), size_mib);
    let threshold = real(link * limit_ms) / 1000.0;
    while at_ms < until_ms {
        let burst = real(link) * 0.05;
        let bursts = ((left - threshold) / burst).ceil().max(1.0);
        let unsent = (left - bursts * burst).max(0.0);
        let hidden = dirty * unsent / left;
        dirty = hidden + (size_mib - hidden) * (1.0 - (-rate * bursts * 0.05).exp());
        left = unsent - hidden + dirty;
        at_ms += whole(bursts * 50.0);
        script = script.sync(at_ms, whole(left));
    }
    script
}

/// A guest that dirties almost as fast as the link carries: about 94 MiB of its 290 MiB are always to be sent.
fn at_the_edge() -> Script {
    passes(4_096, 297, 300, (290.0, 1.46), 30_000)
}

#[test]
fn a_limit_a_little_higher_would_suffice() {
    let listener = listen(&at_the_edge(), Start::with_limit(300), 30_000);
    let (verdict, sentence) = last(&listener);
    assert!(matches!(verdict, Verdict::NeedsLimit { ms: 350..=450 }), "{verdict:?}: {sentence}");
    insta::assert_snapshot!(sentence);
}

#[test]
fn a_saturated_working_set_never_converges() {
    // 5.1 GiB are rewritten in every pass, as stress does; for a restart with a throttle no time is left.
    let intent = Intent { finish_within_ms: Some(250_000), ..Intent::default() };
    let script = Script::new(6_300, 110).intent(intent).syncs(57_000, 48_000, &[5_170, 5_145, 5_150, 5_140]);
    let listener = listen(&script, Start::default(), 210_000);
    let verdicts: Vec<Verdict> = listener.verdicts.iter().map(|(verdict, _)| *verdict).collect();
    assert_eq!(verdicts[..2], [Verdict::Open, Verdict::Open], "one pass proves nothing");
    assert_eq!(verdicts[2], Verdict::Never { is_sure: false });
    assert_eq!(verdicts[4], Verdict::Never { is_sure: true });
    insta::assert_snapshot!(last(&listener).1);
}

#[test]
fn an_idle_guest_converges() {
    let script = Script::new(4_096, 100).sync(41_000, 60).sync(41_500, 31);
    let listener = listen(&script, Start::default(), 42_000);
    assert_eq!(last(&listener).0, Verdict::Converges);
    insta::assert_snapshot!(last(&listener).1);
}

#[test]
fn arithmetic_is_reported_before_the_first_pass_ends() {
    let listener = listen(&Script::new(65_536, 60), Start::default(), 2_000);
    assert_eq!(last(&listener).0, Verdict::LinkTooSlow);
    insta::assert_snapshot!(last(&listener).1);
}

#[test]
fn throttling_is_named_where_it_helps() {
    // 2 GiB, each page of which is written once a second: no second of downtime carries what is left of them.
    let script = passes(8_192, 1_000, 300, (2_000.0, 1.0), 12_000);
    let start = Start { auto_converge: Some(AutoConverge::default()), ..Start::default() };
    let plain = listen(&script, Start::default(), 13_000);
    let throttled = listen(&script, start, 13_000);
    let chance = |listener: &Listener| {
        let model = listener.model.as_ref().unwrap();
        model.forecast(Plan::AsIs, &listener.intent).unwrap().meets_intent_ppm
    };
    assert_eq!((chance(&plain), chance(&throttled)), (0, 1_000_000));
    assert_eq!(last(&plain).0, Verdict::NeedsThrottle);
    insta::assert_snapshot!(last(&plain).1);
}

#[test]
fn the_guest_pays_most_for_being_stopped() {
    let listener = listen(&at_the_edge(), Start::with_limit(300), 30_000);
    let model = listener.model.as_ref().unwrap();
    let lost = |plan| model.forecast(plan, &listener.intent).unwrap().work_lost_ms.unwrap();
    assert!(lost(Plan::Postcopy) < lost(Plan::Pause), "{} {}", lost(Plan::Postcopy), lost(Plan::Pause));
    let forecast = model.forecast(Plan::Pause, &listener.intent).unwrap();
    assert_eq!(forecast.converges_ppm, 1_000_000, "a stopped guest dirties nothing");
}

#[test]
fn the_same_course_gives_the_same_forecast() {
    let forecast = || {
        let listener = listen(&at_the_edge(), Start::with_limit(350), 30_000);
        listener.model.unwrap().forecast(Plan::Limit { ms: 400 }, &listener.intent)
    };
    assert!(forecast().is_some());
    assert_eq!(forecast(), forecast());
}
