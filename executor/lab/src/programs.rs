//! The lab's own guests as programs: their sources, and how they are built.
//!
//! It must never build into the source tree: what comes of it goes with the folder that it was built in.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{LabError, shell};

/// A freestanding guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Bears witness to what a migration did to its memory, all the time.
    Witness,
    /// Writes at the configured rate, and checks its memory on request.
    Writer,
}

const SHARED: [(&str, &str); 4] = [
    ("image.ld", include_str!("../guest/image.ld")),
    ("boot.S", include_str!("../guest/boot.S")),
    ("machine.h", include_str!("../guest/machine.h")),
    ("machine.c", include_str!("../guest/machine.c")),
];
const WITNESS: [(&str, &str); 1] = [("witness.c", include_str!("../guest/witness.c"))];
const WRITER: [(&str, &str); 4] = [
    ("processors.h", include_str!("../guest/processors.h")),
    ("processors.S", include_str!("../guest/processors.S")),
    ("processors.c", include_str!("../guest/processors.c")),
    ("writer.c", include_str!("../guest/writer.c")),
];

/// No library, no start-up code and no floating point: the guest has no run-time to offer them.
const FLAGS: &str = "-m32 -march=i686 -mgeneral-regs-only -O2 -std=gnu11 -Wall -Wextra -Werror -ffreestanding \
    -fno-builtin -fno-pic -fno-stack-protector -fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables \
    -nostdlib -static -Wl,--build-id=none -Wl,-n -T image.ld";

/// Builds a guest's program in a folder and gives its path.
pub(crate) fn compile(program: Program, folder: &Path) -> Result<PathBuf, LabError> {
    let (name, own): (&str, &[_]) = match program {
        Program::Witness => ("witness.elf", &WITNESS),
        Program::Writer => ("writer.elf", &WRITER),
    };
    for (file, text) in SHARED.iter().chain(own) {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(LabError::io(format!("write `{}`", path.display())))?;
    }
    let files = SHARED.iter().chain(own).map(|(file, _)| Path::new(file));
    let is_compiled = |file: &Path| file.extension().is_some_and(|ending| ending == "S" || ending == "c");
    let mut gcc = Command::new("gcc");
    gcc.current_dir(folder).args(FLAGS.split_whitespace()).args(files.filter(|file| is_compiled(file)));
    shell::run(gcc.args(["-o", name]))?;
    Ok(folder.join(name))
}
