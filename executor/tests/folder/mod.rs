//! A folder of one test, in which it runs the program with its home there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// It is removed with its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// `name` is of one test alone.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("whimbrel-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn whimbrel(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        command.current_dir(&self.0).env("HOME", &self.0).env_remove("XDG_STATE_HOME");
        command.env("XDG_CACHE_HOME", std::env::temp_dir().join("whimbrel-rules-cache")).args(arguments);
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The next run has another folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
