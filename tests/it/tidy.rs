//! The rules of the house that no compiler checks, held against the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::peer::package;

/// A file that is longer has more than one subject.
const LINES_MAX: usize = 500;
/// What fits beside a second file on a screen.
const COLUMNS_MAX: usize = 100;
/// Names that say nothing of what a module holds.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "misc"];

/// One source file.
struct Source {
    /// Its path below the package, such as `src/model/tag.rs`.
    path: String,
    text: String,
}

impl Source {
    /// Gives what stands before the unit tests at the foot of the file; nothing of a file that
    /// is built for tests alone.
    fn product(&self, only_tests: &[String]) -> &str {
        let feet = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(super) mod tests {"];
        match feet.iter().find_map(|foot| self.text.find(foot)) {
            _ if only_tests.iter().any(|path| self.path.starts_with(path)) => "",
            Some(foot) => &self.text[..foot],
            None => &self.text,
        }
    }

    /// Lists the paths, without ending, of the modules this file declares for tests alone.
    fn modules_for_tests(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "mod" | "lib")) => folder,
            _ => stem,
        };
        let declared = self.text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
            let (before, after) = rest.split_once("mod ")?;
            let name = after.lines().next()?.strip_suffix(';')?;
            let own_path = before.trim().strip_prefix("#[path = \"");
            let own_path = own_path.and_then(|path| path.strip_suffix(".rs\"]"));
            match own_path {
                Some(path) => Some(format!("{}/{path}", self.path.rsplit_once('/')?.0)),
                None => Some(format!("{folder}/{name}")),
            }
        });
        declared.collect()
    }

    /// Gives the room a file of `src` belongs to; `None` for the map itself.
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let room = below.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then_some(room)
    }
}

/// Reads every file below the folders that has one of the endings, sorted by path.
fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| package(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let below = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path: below, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file below {folders:?}: the rules would check nothing");
    found
}

fn rust() -> Vec<Source> {
    files(&["src", "tests", "benches"], &[".rs"])
}

/// Reads the floor of every room from the table at the head of `src/lib.rs`.
fn floors() -> BTreeMap<String, f32> {
    let map = std::fs::read_to_string(package("src/lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for row in map.lines().filter_map(|line| line.strip_prefix("//! | F")) {
        let (floor, rooms) = row.split_once('|').unwrap();
        for room in rooms.split('`').skip(1).step_by(2) {
            floors.insert(room.to_owned(), floor.trim().parse().unwrap());
        }
    }
    assert!(floors.len() >= 9, "the table of floors in src/lib.rs was not found: {floors:?}");
    floors
}

/// Lists the rooms that a text reaches by `crate::` or by the package's name, grouped imports too.
fn reached(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for way in ["crate::", "ot_aiops::"] {
        for (at, _) in text.match_indices(way) {
            let rest = &text[at + way.len()..];
            match rest.strip_prefix('{') {
                Some(group) => rooms.extend(heads(group)),
                None => rooms.push(word(rest)),
            }
        }
    }
    // `crate::Item` names something of the map itself, which is no room.
    rooms.retain(|room| room.starts_with(|c: char| c.is_ascii_lowercase()));
    rooms
}

/// Lists the first word of each item of a braced group.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_head) = (0_u32, Vec::new(), true);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.push(word(&group[i..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Fails with every fault at once.
fn clean(rule: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Lists `path:line: text` of every line that holds one of the words.
fn mentions(source: &Source, text: &str, words: &[&str]) -> Vec<String> {
    let hit = |line: &str| words.iter().any(|word| line.contains(word));
    let lines = text.lines().enumerate().filter(|(_, line)| hit(line));
    lines.map(|(i, line)| format!("{}:{}: {}", source.path, i + 1, line.trim())).collect()
}

#[test]
fn a_floor_imports_only_floors_below_it() {
    let floors = floors();
    let mut faults = Vec::new();
    for source in files(&["src"], &[".rs"]) {
        let Some(room) = source.room() else { continue };
        let Some(floor) = floors.get(room) else {
            faults
                .push(format!("{}: room `{room}` is not in the table of src/lib.rs", source.path));
            continue;
        };
        // Comments may link upwards: they import nothing.
        let code = source.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        for other in reached(&code).iter().filter(|other| *other != room) {
            match floors.get(other) {
                Some(below) if below < floor => {}
                Some(level) => faults.push(format!(
                    "{}: `{room}` (F{floor}) imports `{other}` (F{level})",
                    source.path
                )),
                None => faults.push(format!("{}: `{other}` is no room", source.path)),
            }
        }
    }
    clean("a floor imports only floors below it", faults);
}

#[test]
fn the_import_reader_sees_groups_and_paths() {
    let text = "use crate::{model::{Tag, Value}, clock};\nlet x = crate::cache::Ring::new();";
    assert_eq!(reached(text), ["model", "clock", "cache"]);
    assert_eq!(reached("use ot_aiops::surface::main; crate::VERSION"), ["surface"]);
}

#[test]
fn every_room_of_the_table_and_every_module_agree() {
    let map = std::fs::read_to_string(package("src/lib.rs")).unwrap();
    let floors = floors();
    let modules = map.lines().filter_map(|line| line.trim().strip_prefix("pub mod "));
    let strangers: Vec<String> = modules
        .map(|module| module.trim_end_matches(';').to_owned())
        .filter(|module| !floors.contains_key(module))
        .collect();
    clean("a module without a floor", strangers);
}

#[test]
fn files_lines_and_names_stay_small_and_plain() {
    let mut faults = Vec::new();
    for source in rust() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {LINES_MAX}", source.path));
        }
        for (i, line) in source.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                faults.push(format!("{}:{}: over {COLUMNS_MAX} columns", source.path, i + 1));
            }
            if !line.is_ascii() {
                faults.push(format!("{}:{}: not ASCII", source.path, i + 1));
            }
        }
        let path = source.path.trim_end_matches(".rs");
        if let Some(name) = path.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            faults.push(format!("{}: `{name}` says nothing of what it holds", source.path));
        }
    }
    clean("small and plain", faults);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut faults = Vec::new();
    for source in rust() {
        faults.extend(mentions(&source, &source.text, &marks));
        faults.extend(mentions(&source, &source.text, &notes));
    }
    clean("nothing is left for later", faults);
}

#[test]
fn the_product_never_unwraps() {
    let sources = files(&["src"], &[".rs"]);
    let only_tests: Vec<String> = sources.iter().flat_map(Source::modules_for_tests).collect();
    let words = [".unwrap()", "panic!("];
    let product = |source: &Source| mentions(source, source.product(&only_tests), &words);
    let faults = sources.iter().flat_map(product).collect();
    clean("the product never unwraps", faults);
}

#[test]
fn no_tool_looks_past_what_its_caller_is_shown() {
    let mut faults = Vec::new();
    for source in files(&["src/tools", "src/surface/mcp"], &[".rs"]) {
        let code = source.product(&["src/surface/mcp/tests.rs".to_owned()]);
        faults.extend(mentions(&source, code, &["cache.tags()", "cache.resolve("]));
    }
    clean("Deps::tags and Deps::resolve know what a caller is shown", faults);
}

#[test]
fn every_silenced_lint_says_why() {
    let mut faults = Vec::new();
    for source in rust() {
        for opening in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
            for (at, _) in source.text.match_indices(opening) {
                let rest = &source.text[at..];
                let attribute = &rest[..rest.find(")]").unwrap_or(rest.len())];
                if attribute.contains("::") && !attribute.contains("reason = ") {
                    let line = source.text[..at].lines().count() + 1;
                    faults.push(format!("{}:{line}: {opening} without a reason", source.path));
                }
            }
        }
    }
    clean("every silenced lint says why", faults);
}

#[test]
fn nothing_names_a_machine_a_registry_host_or_a_workplace() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("../sha", "red"),
        concat!("/ro", "ot/"),
        concat!("registry.np", "mjs"),
        concat!("pypi.", "org"),
        concat!("pythonhosted", ".org"),
        concat!("static.crates", ".io"),
        concat!("work", "tree"),
        concat!("sub", "agent"),
        concat!("Co-Auth", "ored-By"),
    ];
    let endings = [".rs", ".md", ".toml", ".sh", ".py", ".js", ".mjs", ".json", ".yaml", ".txt"];
    let mut sources = files(&["src", "tests", "benches", "Cargo.toml"], &endings);
    for more in ["README.md", "actors.md", "config", ".ci", "tests/all", "tests/peers/setup"] {
        if package(more).exists() {
            sources.extend(files(&[more], &[""]));
        }
    }
    let faults = sources.iter().flat_map(|source| mentions(source, &source.text, &words)).collect();
    clean("a path or a host of somebody's machine", faults);
}

#[test]
fn every_actor_stands_in_the_table_of_actors() {
    let mut faults = Vec::new();
    let table = std::fs::read_to_string(package("actors.md")).unwrap_or_default();
    for source in files(&["src"], &[".rs"]) {
        for (at, opening) in source.text.match_indices("impl Actor for ") {
            let actor = word(&source.text[at + opening.len()..]);
            if !table.contains(&actor) {
                faults.push(format!("{}: actors.md does not speak of {actor}", source.path));
            }
        }
    }
    clean("every actor stands in actors.md", faults);
}
