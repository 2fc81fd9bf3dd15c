//! The service in the eyes of others: its page in a real browser, its description in those of a schema fuzzer.
//!
//! What these need beyond Debian's packages is fetched into a folder below the build's own, and stays for the next time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::Error;
use crate::job::Job;
use crate::python;

/// The fuzzer; its findings change with its version.
const FUZZER: &str = "schemathesis==4.32.5";
/// Requests to each operation at most.
const EXAMPLES: &str = "25";

/// The page's tests, with what they need.
const PAGE_TESTS: [&str; 6] =
    ["package.json", "browser.mjs", "page.mjs", "tabs.mjs", "hosts.mjs", "twice.toml"];
/// Pictures of the page that the README shows.
const SHOWN: [&str; 2] = ["live", "live-dark"];

/// Opens the page in Chromium, against the service on simulated hosts.
pub(crate) fn page(program: &Path, folder: &Path) -> Result<(), Error> {
    let place = place_of_page(folder);
    let failed = |source| Error::Start { job: format!("copy into {}", place.display()), source };
    fs::create_dir_all(&place).map_err(failed)?;
    for file in PAGE_TESTS {
        fs::copy(Path::new("executor/tests/page").join(file), place.join(file)).map_err(failed)?;
    }
    let pictures = place.join("pictures");
    fs::create_dir_all(&pictures).map_err(failed)?;
    Job::npm_install().run_in(&place)?;
    Job::new("node", "page.mjs").argument(&pictures).variable("WHIMBREL_BIN", program).run_in(&place)?;
    Job::new("node", "tabs.mjs").variable("WHIMBREL_BIN", program).run_in(&place)
}

/// Measures the service under load, as it is released. Figures are printed as a document; none of them fails this.
pub(crate) fn load() -> Result<(), Error> {
    Job::cargo("test --release --package whimbrel --features service --test service -- --ignored --exact --nocapture load::load")
        .run()
}

/// Retakes the pictures of the README: they come out of the page's test.
pub(crate) fn pictures(program: &Path) -> Result<String, Error> {
    let folder = folder(program);
    page(program, &folder)?;
    for name in SHOWN {
        let (from, to) = (place_of_page(&folder).join("pictures"), Path::new("docs/images"));
        let file = format!("{name}.png");
        fs::copy(from.join(&file), to.join(&file))
            .map_err(|source| Error::Start { job: format!("copy `{file}`"), source })?;
    }
    Ok(format!("docs/images has new pictures: {}", SHOWN.join(", ")))
}

/// Where the page's tests are, for the lab's to find them.
pub(crate) fn place_of_page(folder: &Path) -> PathBuf {
    folder.join("page")
}

/// Holds the service against its own description.
pub(crate) fn schema(program: &Path, folder: &Path) -> Result<(), Error> {
    let place = folder.join("schema");
    let fuzzer = python::tool(&place, FUZZER, "schemathesis")?;
    let (mut service, address) = serve(program, &place)?;
    // Streams have no end, which the fuzzer would wait for. A task of Kimchi's that is deleted is cancelled, and can be read
    // ever after: that is no use after an end. The fuzzer keeps its notes in the folder that it runs in.
    let arguments = format!("run {address}/api/v1/openapi.json --seed 7 --max-examples {EXAMPLES}");
    let held = Job::new(fuzzer, &arguments)
        .arguments("--exclude-path-regex events$ --exclude-checks use_after_free")
        .run_in(&place);
    // A service that has ended already is what the fuzzer complains of.
    let _ = service.kill();
    let _ = service.wait();
    held
}

fn serve(program: &Path, place: &Path) -> Result<(Child, String), Error> {
    let store = place.join("store.sqlite");
    let _ = fs::remove_file(&store);
    let failed = |source| Error::Start { job: "whimbrel serve".to_owned(), source };
    let mut service = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--rate", "100000", "--sim-guests", "20", "--store"])
        .arg(&store)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = String::new();
    if let Some(errors) = service.stderr.take() {
        let mut lines = BufReader::new(errors);
        lines.read_line(&mut said).map_err(failed)?;
        // What it says later is read, or it would have to wait.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    }
    let address = said.split_once("listening at ").and_then(|(_, rest)| rest.split("/;").next());
    match address {
        Some(address) => Ok((service, address.to_owned())),
        None => Err(Error::NotBuilt("a service that starts")),
    }
}

/// Where what is fetched for these tests stays.
pub(crate) fn folder(program: &Path) -> PathBuf {
    program.parent().unwrap_or(Path::new("target")).join("service-tests")
}
