//! The reader of recordings: both formats, and a reason with its line for whatever is no recording.

use proptest::prelude::*;
use whimbrel_verify::fidelity::read;

const OLD: &str = include_str!("../../tests/data/qemu-7.2-tcg.jsonl");
const NEW: &str = include_str!("../../tests/data/qemu-7.2-quiet.jsonl");
const LINE: &str = r#"{"name":"a","cfg":{"ram":64,"append":"m=1 w=256 n=2 c=489000","bw":1048576,"dl":100,"timeout":5},"rate":9.5,"status":"completed","total_ms":700,"down_ms":3,"normal":500,"dup":7,"transferred":99,"syncs":3,"windows":[]}"#;

#[test]
fn every_row_of_both_formats_is_read() {
    for (text, cases, runs) in [(OLD, 20, 77), (NEW, 88, 152)] {
        let read = read(text).unwrap();
        assert_eq!(read.len(), cases);
        assert_eq!(read.iter().map(|case| case.repeats.len()).sum::<usize>(), runs);
        assert_eq!(text.lines().count(), runs);
    }
}

#[test]
fn repeats_are_one_case() {
    let cases = read(&format!("{LINE}\n\n{}\n", LINE.replace("500", "510"))).unwrap();
    let [case] = cases.as_slice() else { panic!("{cases:?}") };
    assert_eq!(case.repeats.iter().map(|repeat| repeat.run.normal_pages).collect::<Vec<_>>(), [500, 510]);
    let run = case.repeats[0].run;
    assert_eq!((run.zero_pages, run.transferred_bytes, run.total_ms), (Some(7), Some(99), Some(700)));
    assert_eq!(case.not_simulated, None);
}

#[test]
fn a_reply_that_came_too_early_says_nothing_of_time() {
    let cases = read(&LINE.replace("700", "0")).unwrap();
    let run = cases[0].repeats[0].run;
    assert_eq!((run.total_ms, run.downtime_ms, run.completed), (None, None, true));
}

#[test]
fn fields_of_the_row_that_are_not_known_are_passed_over() {
    assert!(read(&LINE.replace("\"windows\"", "\"weather\":[1,{}],\"windows\"")).is_ok());
}

#[test]
fn a_case_is_of_one_version_of_qemu() {
    let of = |qemu: &str| LINE.replace("\"windows\"", &format!("\"qemu\":\"{qemu}\",\"windows\""));
    let two = format!("{}\n{}", of("7.2.22 (Debian 1:7.2)"), of("7.2.22"));
    assert_eq!(read(&two).unwrap()[0].repeats.len(), 2);
    let mixed = read(&format!("{}\n{}", of("10.0.13"), of("11.1.3"))).unwrap_err();
    assert!(mixed.reason.contains("another set-up"), "{mixed}");
    let unreadable = read(&of("of today")).unwrap_err();
    assert!(unreadable.reason.contains("which does not begin with a version"), "{unreadable}");
}

/// A recording of another version is simulated with that version's rules: the idle case below has a sync of the loop
/// and one with the guest stopped after the setup's, of which 11.1 counts the first alone.
#[test]
fn a_recording_is_simulated_with_the_rules_of_its_version() {
    use whimbrel_sim::qemu::Engine;
    use whimbrel_verify::fidelity::compare;
    let idle = NEW.lines().find(|line| line.contains("\"m=0 f=")).unwrap();
    let named = |qemu: &str| idle.replace("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", qemu);
    assert_ne!(named("11.1.3"), idle);
    let syncs = |qemu: &str| {
        let cases = read(&named(qemu)).unwrap();
        compare(&cases, Engine::Lumped, 1).cases[0].simulated.syncs.unwrap()
    };
    assert!((syncs("7.2.22") - syncs("11.1.3") - 1.0).abs() < 1e-9);
}

#[test]
fn a_line_that_is_no_recording_is_named() {
    for (from, to, words) in [
        (LINE, "{", "EOF while parsing"),
        (LINE, "[]", ""),
        ("\"syncs\":3,", "", "missing field `syncs`"),
        ("\"ram\":64", "\"ram\":-1", "invalid value"),
        ("\"ram\":64", "\"ram\":18446744073709551615", "the memory in MiB is"),
        ("\"timeout\":5", "\"timeout\":5,\"turbo\":1", "unknown field `turbo`"),
        ("\"timeout\":5", "\"timeout\":5,\"changes\":[{\"at_s\":-1.0,\"bw\":1}]", "`at_s` is -1 s"),
        ("\"timeout\":5", "\"timeout\":5,\"changes\":[{\"at_s\":1.0,\"cpu\":1}]", "unknown field `cpu`"),
        ("\"timeout\":5", "\"timeout\":5,\"pc_at\":1e99", "`pc_at` is"),
        ("\"rate\"", "\"age_ms\":99999999999,\"rate\"", "the age in ms is"),
        ("\"rate\"", "\"driver\":\"xen\",\"rate\"", "unknown variant `xen`"),
        ("m=1", "m=9", "`m=9` is not within"),
        ("n=2", "y=2", "`y=2` is not known"),
        ("c=489000", "c=1", "times a second"),
    ] {
        let text = format!("{LINE}\n{}", LINE.replace(from, to).replace("\"a\"", "\"b\""));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(words), "{from} {to}: {error}");
    }
    assert_eq!(read(" \n").unwrap_err().line, 1);
}

#[test]
fn one_name_has_one_set_up() {
    for (from, to) in [("\"dl\":100", "\"dl\":200"), ("\"rate\"", "\"prealloc\":true,\"rate\"")] {
        let error = read(&format!("{LINE}\n{}", LINE.replace(from, to))).unwrap_err();
        assert_eq!(error.to_string(), "line 2: `a` has another set-up here than in line 1");
    }
}

#[test]
fn what_the_engine_lacks_is_said_and_the_case_kept() {
    for (extra, words) in [
        ("\"caps\":{\"colo\":true,\"rdma-pin-all\":true}", "no `colo`, `rdma-pin-all`"),
        ("\"pc_at\":1.0", "without `postcopy-ram`"),
        ("\"params\":{\"mode\":\"cpr-reboot\"}", "no parameter `mode`"),
        ("\"disk_mib\":64", "a disk of 64 MiB"),
        ("\"workload\":\"redis\"", "nothing was measured"),
    ] {
        let cases = read(&LINE.replace("\"dl\"", &format!("{extra},\"dl\""))).unwrap();
        assert!(cases[0].not_simulated.as_ref().unwrap().contains(words), "{:?}", cases[0]);
    }
    let off = "\"caps\":{\"multifd\":false},\"params\":{},\"pc_at\":null,\"dl\"";
    assert_eq!(read(&LINE.replace("\"dl\"", off)).unwrap()[0].not_simulated, None);
    let failed = read(&LINE.replace("\"completed\"", "\"failed\"")).unwrap();
    assert_eq!(failed[0].not_simulated.as_deref(), Some("a repeat ended as `failed`"));
}

/// A row of both files whose windows are few, so that a mutation meets something that matters.
fn short_rows() -> impl Strategy<Value = String> {
    let rows: Vec<String> =
        OLD.lines().chain(NEW.lines()).filter(|line| line.len() < 2500).map(str::to_owned).collect();
    assert!(rows.len() > 50);
    prop::sample::select(rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a row is torn or scribbled on, the reader answers, and an error names a line of the file.
    #[test]
    fn a_mangled_row_is_read_or_refused_in_words(
        row in short_rows(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[-0-9a-z\"{}:,=. \n]{0,6}"), 1..4),
    ) {
        let mut text = row;
        for (at, length, put) in cuts {
            let at = at.index(text.len());
            text.replace_range(at..(at + length).min(text.len()), &put);
        }
        if let Err(error) = read(&text) {
            prop_assert!((1..=text.lines().count().max(1)).contains(&error.line), "{}", error);
            prop_assert!(!error.reason.is_empty());
        }
    }

    /// The same with whole values put in the place of numbers.
    #[test]
    fn any_number_anywhere_is_read_or_refused(
        row in short_rows(), place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec!["0", "-1", "18446744073709551615", "1e308", "0.5", "null", "\"\"", "[]"]),
    ) {
        let starts: Vec<usize> = row
            .match_indices(|c: char| c.is_ascii_digit())
            .map(|(at, _)| at)
            .filter(|at| *at == 0 || !row.as_bytes()[at - 1].is_ascii_digit())
            .collect();
        let at = starts[place.index(starts.len())];
        let length = row[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
        let text = format!("{}{value}{}", &row[..at], &row[at + length..]);
        if let Err(error) = read(&text) {
            prop_assert!(error.line == 1 && !error.reason.is_empty());
        }
    }
}
