//! Hosted automation runs what `.ci/run` runs, with the compiler of `rust-toolchain.toml`, and has no list of checks of its
//! own. Texts are compared line by line: a parser of YAML would be a dependency for one file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing helper fails the test")]

use xtask::Tree;

const SCRIPT: &str = ".ci/run";
const WORKFLOW: &str = ".github/workflows/ci.yml";
const TOOLCHAIN: &str = "rust-toolchain.toml";

fn tree() -> Tree {
    Tree::read(&Tree::root().unwrap()).unwrap()
}

fn text<'a>(tree: &'a Tree, path: &str) -> &'a str {
    tree.text(path).unwrap_or_else(|| panic!("`{path}` is not there"))
}

/// Lines without comments, of a script or of YAML.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The commands of every step of a workflow: those after `run:`, or the more indented lines below `run: |`.
fn commands(workflow: &str) -> Vec<String> {
    let lines: Vec<&str> = lines(workflow).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let key = line.trim_start().trim_start_matches("- ");
        // `run:` alone, without a command, are the defaults of the steps.
        let Some(command) = key.strip_prefix("run: ") else { continue };
        if !matches!(command, "|" | ">" | "|-" | ">-") {
            found.push(command.to_owned());
            continue;
        }
        let own = line.len() - key.len();
        let below = lines.iter().skip(at + 1).take_while(|line| indentation(line) > own);
        found.push(below.map(|line| line.trim()).collect::<Vec<_>>().join("\n"));
    }
    found
}

/// The one command of the script, which is its last line: what stands before it only goes to the root.
fn script_command(script: &str) -> &str {
    let lines: Vec<&str> = lines(script).collect();
    let [options, variable, folder, last] = lines[..] else { panic!("{SCRIPT} has {lines:?}") };
    assert_eq!(options, "set -euo pipefail");
    assert_eq!(variable, "export CARGO_INCREMENTAL=0");
    assert!(folder.starts_with("cd "), "{folder}");
    last.strip_prefix("exec ").unwrap_or_else(|| panic!("{SCRIPT} ends with `{last}`"))
}

#[test]
fn the_workflow_runs_what_the_script_runs() {
    let tree = tree();
    let command = script_command(text(&tree, SCRIPT));
    let variable = r#"CARGO_INCREMENTAL: "0""#;
    assert!(
        lines(text(&tree, WORKFLOW)).any(|line| line.trim() == variable),
        "{WORKFLOW} lacks `{variable}`"
    );
    let commands = commands(text(&tree, WORKFLOW));
    assert_eq!(commands.last().map(String::as_str), Some(command), "the last step of {WORKFLOW}");
    for step in commands.iter().take(commands.len() - 1) {
        let checks = step.lines().any(|line| line.starts_with("cargo ") || line.contains(" cargo "));
        assert!(!checks, "`{step}` belongs into `{command}`");
    }
}

#[test]
fn no_step_of_the_workflow_may_fail_or_be_left_out() {
    let tree = tree();
    let workflow = text(&tree, WORKFLOW);
    for word in ["continue-on-error", "if:", "|| true"] {
        assert!(!lines(workflow).any(|line| line.contains(word)), "{WORKFLOW} has `{word}`");
    }
    // Files are listed by git, and a shallow clone has no history to compare releases with.
    assert!(lines(workflow).any(|line| line.trim() == "fetch-depth: 0"), "{WORKFLOW} has the whole history");
    assert!(lines(workflow).any(|line| line.trim() == "image: debian:12"), "the packages are Debian 12's");
}

#[test]
fn one_compiler_is_named_everywhere() {
    let tree = tree();
    let toolchain: toml::Table = text(&tree, TOOLCHAIN).parse().unwrap();
    let toolchain = toolchain["toolchain"].as_table().unwrap();
    // Other keys would have rustup download something where the compiler itself is there.
    assert_eq!(toolchain.keys().collect::<Vec<_>>(), ["channel"]);
    let channel = toolchain["channel"].as_str().unwrap();

    let manifest: toml::Table = text(&tree, "Cargo.toml").parse().unwrap();
    let oldest = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(
        channel == oldest || channel.starts_with(&format!("{oldest}.")),
        "{TOOLCHAIN} has {channel}, and Cargo.toml promises {oldest}"
    );

    let workflow = text(&tree, WORKFLOW);
    let installed: Vec<_> = lines(workflow)
        .filter_map(|line| line.split("--default-toolchain ").nth(1)?.split_whitespace().next())
        .collect();
    assert_eq!(installed, [channel], "what {WORKFLOW} installs");
    let cached = lines(workflow).filter_map(|line| line.trim().split("cargo-").nth(1));
    for key in cached.filter(|key| key.starts_with(|c: char| c.is_ascii_digit())) {
        assert!(key.starts_with(&format!("{channel}-")), "`{key}` caches what {channel} built");
    }
}

#[test]
fn commands_of_one_line_and_of_several_are_found() {
    let workflow = "    defaults:\n      run:\n        shell: bash\n    steps:\n      - name: A\n        run: |\n          one\n\n          two\n      # run: no\n      - run: three\n      - uses: x\n";
    assert_eq!(commands(workflow), ["one\ntwo", "three"]);
}
