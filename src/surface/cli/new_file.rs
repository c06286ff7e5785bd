//! Writing a configuration: checked before it counts, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};

/// Who may read a configuration that is new: its owner and the collector's group.
const MODE: u32 = 0o640;

fn failed<'a>(path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |error| {
        Failure::new(Exit::Usage, format!("{} can't be written: {error}", path.display()))
            .hint("give --config FILE in a directory that you may write")
    }
}

/// A text beside the file it will become; it goes when it is dropped.
pub(super) struct Draft {
    target: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Writes a text beside its place. The ending stays: it says how the text is read.
    pub(super) fn write(target: &Path, text: &str) -> Result<Self, Failure> {
        let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o711).create(dir).map_err(failed(dir))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = dir.join(format!(".{}.new.{name}", std::process::id()));
        let mode = target.metadata().map_or(MODE, |facts| facts.permissions().mode() & 0o777);
        let mut open = OpenOptions::new();
        let draft = Self { target: target.to_path_buf(), path };
        let mut file = open
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft.path)
            .map_err(failed(&draft.path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed(&draft.path))?;
        Ok(draft)
    }

    /// Gives the file as it stands now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place.
    pub(super) fn settle(self) -> Result<(), Failure> {
        std::fs::rename(&self.path, &self.target).map_err(failed(&self.target))?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Settled, it is gone already.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("warning: {} stays behind: {error}", self.path.display());
        }
    }
}
