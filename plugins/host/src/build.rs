//! Builds a pack from its source with nothing but a Rust compiler.
//!
//! Where the compiler has the target's standard library, it is used. Otherwise a compiler that comes with the sources
//! of its library builds that too. The core module is made a component in this process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Where Debian's `rustc-web` puts the compiler whose sources `rust-web-src` brings.
const SYSTEM_COMPILER: &str = "/usr/bin/rustc";

const PROFILE: [(&str, &str); 7] = [
    ("CODEGEN_UNITS", "1"),
    ("DEBUG", "false"),
    ("LTO", "true"),
    ("OPT_LEVEL", "s"),
    ("OVERFLOW_CHECKS", "false"),
    ("PANIC", "abort"),
    ("STRIP", "true"),
];

/// Why a pack could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No compiler can build for the sandbox.
    #[error("no Rust compiler here can build for {TARGET}")]
    NoCompiler,
    /// A program could not be run.
    #[error("cannot run `{program}`")]
    Start {
        /// The command, for the message.
        program: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The compiler rejected the source; its messages are on stderr.
    #[error("the pack does not compile; see above")]
    Compile,
    /// The build gave no module.
    #[error("the build gave no module: the package must be a library of the type `cdylib`")]
    NoModule,
    /// The module cannot be made a component.
    #[error("the module cannot be made a component: {0}")]
    Component(String),
    /// The module cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// Where the compiler reported it.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// A compiler that can build for the sandbox.
#[derive(Clone, Debug)]
enum Compiler {
    /// It has the target's library.
    Ready,
    /// It has the library's sources.
    Sources { rustc: PathBuf, linker: PathBuf },
}

/// Builds the package in a folder, with these features, into a component.
///
/// # Errors
/// When there is no compiler, or the source or the component is invalid.
pub fn build(folder: &Path, features: &str, target_folder: Option<&Path>) -> Result<Vec<u8>, BuildError> {
    let mut job = Command::new("cargo");
    job.current_dir(folder).args(["build", "--release", "--quiet", "--target", TARGET]);
    job.args(["--message-format", "json-render-diagnostics", "--features", features]);
    // Small code compiles quickly when a pack is loaded. The package's own profile is overridden, as the one of its
    // workspace may differ.
    for (name, value) in PROFILE {
        job.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    // Settings of the user's environment for other builds would change the bytes.
    job.env("CARGO_INCREMENTAL", "0").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(target) = target_folder {
        job.arg("--target-dir").arg(target);
    }
    match compiler().ok_or(BuildError::NoCompiler)? {
        Compiler::Ready => {}
        Compiler::Sources { rustc, linker } => {
            // One library for all packs, whether they use the standard library or not: it is built once.
            job.arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                // The sources are the compiler's own, so features that differ between versions do not matter.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", "-Clinker-flavor=wasm-ld -Zunstable-options -Cpanic=immediate-abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
    let start = |source| BuildError::Start { program: "cargo build".to_owned(), source };
    let output = job.stderr(std::process::Stdio::inherit()).output().map_err(start)?;
    if !output.status.success() {
        return Err(BuildError::Compile);
    }
    let path = module(&String::from_utf8_lossy(&output.stdout)).ok_or(BuildError::NoModule)?;
    let bytes = std::fs::read(&path).map_err(|source| BuildError::Unreadable { path, source })?;
    component(&bytes)
}

/// Makes a component of a core module that carries its contract.
///
/// # Errors
/// When the module does not fit the contract that it names.
pub fn component(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| BuildError::Component(format!("{error:#}")))
}

fn compiler() -> Option<Compiler> {
    let library = |sysroot: &Path| sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
    let sysroot = |rustc: &Path| said(rustc, &["--print", "sysroot"]).map(PathBuf::from);
    let system = PathBuf::from(SYSTEM_COMPILER);
    // The sources come first: what they build is the same on every machine that has this compiler.
    let sources = sysroot(&system).filter(|root| root.join("lib/rustlib/src/rust/library/std").is_dir());
    if sources.is_some()
        && let Some(linker) = linker()
    {
        return Some(Compiler::Sources { rustc: system, linker });
    }
    sysroot(Path::new("rustc")).is_some_and(|root| library(&root)).then_some(Compiler::Ready)
}

/// The linker that comes with the usual toolchain, or the system's.
fn linker() -> Option<PathBuf> {
    let root = said(Path::new("rustc"), &["--print", "sysroot"]).map(PathBuf::from)?;
    let hosts = std::fs::read_dir(root.join("lib/rustlib")).ok()?;
    let bundled = hosts.flatten().map(|host| host.path().join("bin/rust-lld"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = std::env::split_paths(&path).map(|folder| folder.join("wasm-ld")).collect::<Vec<_>>();
    bundled.chain(system).find(|file| file.is_file())
}

fn said(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments.iter().map(OsString::from)).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The last module that cargo reports.
fn module(messages: &str) -> Option<PathBuf> {
    let mut files = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message.get("filenames")?.as_array()?.clone();
        let mut paths = files.iter().filter_map(|file| file.as_str()).map(PathBuf::from);
        paths.find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
    });
    files.next_back()
}
