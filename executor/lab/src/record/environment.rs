//! The machine that a recording was made on, as far as it changes the figures.

use std::fs;

use serde::Serialize;

/// The host. Both of the lab's hosts are on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Host {
    /// Processors.
    cores: usize,
    /// Their model.
    cpu: String,
    /// The kernel's release.
    kernel: String,
    /// When memory comes in pieces of 2 MiB: `always`, `madvise` (QEMU requests it), `never`.
    huge_pages: String,
}

impl Host {
    /// Looks; what cannot be found out is left empty.
    pub(super) fn look() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let model = |info: &str| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: model(&text("/proc/cpuinfo")).unwrap_or_default(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            huge_pages: chosen(&text("/sys/kernel/mm/transparent_hugepage/enabled")),
        }
    }
}

/// The word in brackets.
fn chosen(text: &str) -> String {
    let word = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    word.map_or_else(String::new, |(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Host, chosen};

    #[test]
    fn the_chosen_word_is_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen(""), "");
    }

    #[test]
    fn this_machine_has_processors() {
        assert!(Host::look().cores > 0);
    }
}
