//! The labelled files below a path.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::labelled::{Labelled, Windows};
use crate::diagnose::instant_from_text;

/// Bytes of one file.
const BYTES_MAX: u64 = 512 << 20;
/// Folders below the one that was named.
const DEPTH_MAX: usize = 4;
/// Files of one corpus.
const FILES_MAX: usize = 2_000;

/// Why there is nothing to play.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A path can't be read.
    #[error("{}: {error}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no labelled file.
    #[error("{}: no labelled .csv file{}", path.display(), left_out.first().map_or(String::new(),
        |(name, why)| format!("; {name}: {why}")))]
    Empty {
        /// Where.
        path: PathBuf,
        /// The files that are none, and why.
        left_out: Vec<(String, String)>,
    },
}

/// Labelled files, and those that could not be taken.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// The files, by name.
    pub files: Vec<Labelled>,
    /// Files that were left out, and why.
    pub left_out: Vec<(String, String)>,
}

impl Corpus {
    /// Reads a file, or all `.csv` files of a folder and the folders in it. Windows are taken
    /// from any `.json` file there of the form `{"file.csv": [["from", "to"]]}`.
    ///
    /// # Errors
    /// The path can't be read, or holds no labelled file.
    pub fn read(path: &Path) -> Result<Self, CorpusError> {
        let root = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let mut tables = Vec::new();
        let mut windows = Windows::new();
        for found in list(root)? {
            match found.extension().and_then(|end| end.to_str()) {
                Some("csv") if path.is_dir() || found == path => tables.push(found),
                Some("json") => windows.extend(read_windows(&found)),
                _ => {}
            }
        }
        if !path.is_dir() && tables.is_empty() {
            tables.push(path.to_owned());
        }
        let mut corpus = Self::default();
        for table in tables {
            let name = table.strip_prefix(root).unwrap_or(&table).display().to_string();
            let group = Path::new(&name).parent().map(|p| p.display().to_string());
            let file = table.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // The benchmark's own list has the folder before the name.
            let own = windows
                .iter()
                .find(|(key, _)| key.as_str() == file || key.ends_with(&format!("/{file}")));
            let text = read_text(&table)?;
            let own = own.map(|(_, windows)| windows.as_slice());
            match Labelled::parse(&name, &group.unwrap_or_default(), &text, own) {
                Ok(labelled) => corpus.files.push(labelled),
                Err(error) => corpus.left_out.push((name, error.to_string())),
            }
        }
        if corpus.files.is_empty() {
            let left_out = corpus.left_out;
            return Err(CorpusError::Empty { path: path.to_owned(), left_out });
        }
        corpus.split();
        Ok(corpus)
    }

    /// Where all files lie in one folder, each is a group of its own.
    fn split(&mut self) {
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        self.files.iter().for_each(|file| *groups.entry(&file.group).or_default() += 1);
        if groups.len() < 2 {
            self.files.iter_mut().for_each(|file| file.group = file.name.clone());
        }
    }
}

fn list(root: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let fault = |error| CorpusError::Path { path: folder.clone(), error };
        for entry in fs::read_dir(&folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if found.len() < FILES_MAX {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_text(path: &Path) -> Result<String, CorpusError> {
    let fault = |error| CorpusError::Path { path: path.to_owned(), error };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(fault)?;
    let read = file.take(BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    if read as u64 == BYTES_MAX {
        return Err(fault(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 512 MiB")));
    }
    Ok(text)
}

/// Reads windows; a file that holds none adds none.
fn read_windows(path: &Path) -> Windows {
    let Ok(text) = read_text(path) else { return Windows::new() };
    let read: Result<BTreeMap<String, Vec<(String, String)>>, _> = serde_json::from_str(&text);
    let instants =
        |(from, to): &(String, String)| Some((instant_from_text(from)?, instant_from_text(to)?));
    let all = read.unwrap_or_default().into_iter();
    all.map(|(name, windows)| (name, windows.iter().filter_map(instants).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_its_windows_and_says_what_it_leaves_out() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        put("sub/a.csv", "t,v\n2020-01-01 00:00:00,1\n2020-01-01 00:01:00,2\n");
        put("b.csv", "t,v,anomaly\n2020-01-01 00:00:00,1,1\n");
        put("c.csv", "t,v\n2020-01-01 00:00:00,1\n");
        put("windows.json", r#"{"sub/a.csv": [["2020-01-01 00:01:00", "2020-01-01 00:02:00"]]}"#);
        let corpus = Corpus::read(dir.path()).unwrap();
        let names: Vec<_> =
            corpus.files.iter().map(|f| (f.name.as_str(), f.group.as_str())).collect();
        assert_eq!(names, [("b.csv", ""), ("sub/a.csv", "sub")]);
        assert_eq!(corpus.files[1].labels, [false, true]);
        assert_eq!(corpus.left_out[0].0, "c.csv");
        let one = Corpus::read(&dir.path().join("b.csv")).unwrap();
        assert_eq!(one.files[0].group, "b.csv");
        assert!(Corpus::read(&dir.path().join("c.csv")).is_err());
        assert!(Corpus::read(&dir.path().join("none.csv")).is_err());
    }
}
