//! Where the master password comes from, where nobody sits at a terminal.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::model::Secret;

/// The variable that may hold it.
pub const MASTER_VARIABLE: &str = "OT_AIOPS_MASTER_PASSWORD";
/// The name of the systemd credential that may hold it.
pub const CREDENTIAL: &str = "ot-aiops-master-password";
/// Where systemd puts credentials (systemd.exec(5)).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// A password is one line; more is a file named by mistake.
const BYTES_MAX: u64 = 4096;

/// The ways to give it, for messages.
pub(super) const HOW: &str = "type it at a terminal, or give --master-fd N, the systemd \
    credential ot-aiops-master-password, or OT_AIOPS_MASTER_PASSWORD";

/// Why a master password that was pointed to could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the master password in {}: {what}", path.display())]
pub struct MasterError {
    /// Where it should be.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// Reads it from the file descriptor that is named, else from the variable, else from the
/// credential; `None` where none of them is given.
///
/// # Errors
/// One of them is given and can't be read.
pub fn read_master(
    fd: Option<u32>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, MasterError> {
    if let Some(fd) = fd {
        return line(&PathBuf::from(format!("/dev/fd/{fd}"))).map(Some);
    }
    if let Some(text) = env(MASTER_VARIABLE).filter(|text| !text.is_empty()) {
        return Ok(Some(Secret::new(text)));
    }
    let Some(dir) = env(CREDENTIALS_DIRECTORY).filter(|dir| !dir.is_empty()) else {
        return Ok(None);
    };
    let path = Path::new(&dir).join(CREDENTIAL);
    if path.exists() { line(&path).map(Some) } else { Ok(None) }
}

fn line(path: &Path) -> Result<Secret, MasterError> {
    let failed = |what: String| MasterError { path: path.to_path_buf(), what };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.len() as u64 > BYTES_MAX || line.contains('\n') {
        return Err(failed(format!("is not one line of 1 to {BYTES_MAX} bytes")));
    }
    Ok(Secret::new(line.to_owned()))
}
