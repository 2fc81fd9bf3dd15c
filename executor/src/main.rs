//! The `whimbrel` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    whimbrel::cli::main()
}
