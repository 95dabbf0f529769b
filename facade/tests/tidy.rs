//! What a machine can check of the project's form (docs/style.md).

#[path = "tidy/tree.rs"]
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use tree::{SourceFile, files, lines_with_word, read};

/// Which crates of the project each may know. A new arrow is a design decision and starts in docs/.
const ARROWS: [(&str, &[&str]); 8] = [
    ("primitives", &[]),
    ("wal", &[]),
    ("runtime", &[]),
    ("shards", &["strata-primitives", "strata-wal", "strata-runtime"]),
    ("facade", &["strata-primitives", "strata-wal", "strata-runtime", "strata-shards"]),
    ("loom-tests", &["strata-runtime"]),
    ("benches", &["strata", "strata-primitives", "strata-wal", "strata-runtime", "strata-shards"]),
    ("benches/compare", &["strata", "strata-benches"]),
];

/// The only files that may hold unsafe code; each opens with the argument that makes it sound. Nothing that ships
/// is added here without a decision record. The test file is a counting allocator, which cannot be had without; a map of a file cannot be
/// opened without either, and LMDB, which one bench is compared with, is one.
const UNSAFE_FILES: [&str; 8] = [
    "benches/compare/src/engines/lmdb.rs",
    "primitives/src/pair.rs",
    "runtime/src/process.rs",
    "runtime/src/ring.rs",
    "runtime/src/slot.rs",
    "runtime/tests/counting/mod.rs",
    "wal/src/mapping.rs",
    "wal/src/uring.rs",
];

/// A file is read in one sitting.
const LINES_MAX: usize = 600;

#[test]
fn crates_know_only_those_below_them() {
    let mut found = Vec::new();
    for (folder, allowed) in ARROWS {
        let manifest = Manifest::read(folder);
        for dependency in manifest.dependencies.iter().filter(|dependency| dependency.is_ours()) {
            // A crate may ask for itself with a feature, in its own tests.
            let is_itself = dependency.name == manifest.package && dependency.section == "dev-dependencies";
            if !is_itself && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!("{folder} must not know {} ([{}])", dependency.name, dependency.section));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_member_of_the_workspace_has_its_arrows_stated() {
    let workspace = read("Cargo.toml");
    let members =
        workspace.lines().find_map(|line| line.strip_prefix("members = ")).expect("a list of members");
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    let mut stated = ARROWS.map(|(folder, _)| folder).to_vec();
    let mut named = members.clone();
    stated.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, stated);
}

#[test]
fn guests_have_their_version_once_and_a_reason_beside_it() {
    let mut found = Vec::new();
    let mut section = String::new();
    for line in read("Cargo.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_string();
        } else if section == "workspace.dependencies" && line.contains(" = ") {
            let (_, reason) = line.split_once(" # ").unwrap_or_default();
            if !line.starts_with("strata") && reason.is_empty() {
                found.push(format!("Cargo.toml: no reason beside `{line}`"));
            }
        }
    }
    for (folder, _) in ARROWS {
        for dependency in Manifest::read(folder).dependencies {
            if !dependency.is_of_workspace && !dependency.is_ours() {
                found.push(format!("{folder}/Cargo.toml: {} states a version of its own", dependency.name));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn unsafe_code_lives_in_the_listed_files_only() {
    let mut found = Vec::new();
    for file in files("rs") {
        let lines = lines_with_word(&file.code(), "unsafe");
        match UNSAFE_FILES.contains(&file.path.as_str()) {
            false => found.extend(lines.iter().map(|line| format!("{}:{line}: unsafe code", file.path))),
            true if lines.is_empty() => {
                found.push(format!("{} is listed and holds no unsafe code", file.path))
            }
            true => {}
        }
    }
    assert_none(&found);
}

#[test]
fn unsafe_code_is_argued_where_it_stands() {
    let mut found = Vec::new();
    for path in UNSAFE_FILES {
        let file = SourceFile { path: path.to_string(), text: read(path) };
        if !file.text.starts_with("//!") {
            found.push(format!("{path} does not open with its argument"));
        }
        let lines: Vec<&str> = file.text.lines().collect();
        for number in lines_with_word(&file.code(), "unsafe") {
            // The comment stands above the statement, which may begin a few lines before the word.
            let above = &lines[number.saturating_sub(8)..number];
            if !above.iter().any(|line| line.trim_start().starts_with("// SAFETY:")) {
                found.push(format!("{path}:{number}: no `// SAFETY:` above"));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_crate_root_refuses_unsafe_code() {
    let mut found = Vec::new();
    for (folder, _) in ARROWS {
        let root = format!("{folder}/src/lib.rs");
        let has_listed_file = UNSAFE_FILES.iter().any(|file| file.starts_with(&format!("{folder}/src/")));
        let attribute = if has_listed_file { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        if !read(&root).contains(attribute) {
            found.push(format!("{root} does not say {attribute}"));
        }
    }
    assert_none(&found);
}

#[test]
fn a_file_is_read_in_one_sitting() {
    let long = files("rs").into_iter().map(|file| (file.text.lines().count(), file.path));
    let found: Vec<String> = long
        .filter(|(count, _)| *count > LINES_MAX)
        .map(|(count, path)| {
            format!("{path} has {count} lines, {LINES_MAX} are the most: which second noun is in it?")
        })
        .collect();
    assert_none(&found);
}

/// A file that no `mod` of its binary names is not compiled: its tests would pass by never running.
#[test]
fn every_file_of_tests_belongs_to_a_test_binary() {
    let there: BTreeMap<String, String> = files("rs")
        .into_iter()
        .filter(|file| file.path.split('/').nth(1) == Some("tests"))
        .map(|file| (file.path, file.text))
        .collect();
    // What cargo finds by itself: `tests/subject.rs` and `tests/theme/main.rs`.
    let is_root = |path: &str| match path.split('/').collect::<Vec<_>>()[..] {
        [_, _, _] => true,
        [_, _, _, name] => name == "main.rs",
        _ => false,
    };
    let mut open: Vec<&str> = there.keys().map(String::as_str).filter(|path| is_root(path)).collect();
    let mut compiled: BTreeSet<&str> = open.iter().copied().collect();
    while let Some(path) = open.pop() {
        let names = modules(path, is_root(path), &there[path]);
        let found = names.iter().filter_map(|name| there.get_key_value(name)).map(|(name, _)| name.as_str());
        open.extend(found.filter(|name| compiled.insert(name)));
    }
    let found: Vec<String> = there
        .keys()
        .filter(|path| !compiled.contains(path.as_str()))
        .map(|path| format!("{path} is in no test binary"))
        .collect();
    assert_none(&found);
}

#[test]
fn a_file_is_named_for_one_noun() {
    const NOT_NOUNS: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];
    let found: Vec<String> = files("rs")
        .into_iter()
        .filter(|file| file.path.split(['/', '.']).any(|part| NOT_NOUNS.contains(&part)))
        .map(|file| format!("{} is named for what does not fit elsewhere", file.path))
        .collect();
    assert_none(&found);
}

#[test]
fn nothing_is_left_unfinished() {
    let in_code =
        [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!"), concat!("#[", "ignore")];
    let anywhere = [concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for file in files("rs") {
        let (code, path) = (file.code(), &file.path);
        let words = in_code.iter().filter(|word| code.contains(**word));
        let marks = anywhere.iter().filter(|mark| file.text.contains(**mark));
        found.extend(words.chain(marks).map(|word| format!("{path} holds {word}")));
    }
    assert_none(&found);
}

#[test]
fn a_library_root_is_a_table_of_contents() {
    let mut found = Vec::new();
    for folder in ["primitives", "wal", "runtime", "shards", "facade"] {
        let file =
            SourceFile { path: format!("{folder}/src/lib.rs"), text: read(&format!("{folder}/src/lib.rs")) };
        if !file.text.starts_with("//! ") {
            found.push(format!("{} does not say what the crate is", file.path));
        }
        let code = file.code();
        for word in ["fn", "impl", "enum", "trait"] {
            found.extend(
                lines_with_word(&code, word).iter().map(|line| format!("{}:{line}: {word}", file.path)),
            );
        }
    }
    assert_none(&found);
}

#[test]
fn the_three_at_the_bottom_do_not_know_what_they_are_for() {
    // What each must never know, in words that only such knowledge would write.
    let forbidden: [(&str, &[&str]); 3] = [
        ("primitives/src/", &["thread", "fs", "File", "Instant", "SystemTime", "TcpStream", "rand"]),
        ("wal/src/", &["RunId", "Commit", "Mutation", "Mailbox"]),
        ("runtime/src/", &["RunId", "Operation", "Mutation", "Lsn", "Segment"]),
    ];
    let mut found = Vec::new();
    for file in files("rs") {
        let Some((_, words)) = forbidden.iter().find(|(folder, _)| file.path.starts_with(folder)) else {
            continue;
        };
        let code = file.code();
        for word in *words {
            found.extend(
                lines_with_word(&code, word).iter().map(|line| format!("{}:{line}: {word}", file.path)),
            );
        }
    }
    assert_none(&found);
}

#[test]
fn a_test_is_named_by_a_sentence() {
    let mut found = Vec::new();
    for file in files("rs").into_iter().filter(|file| file.folder() != "benches") {
        let code = file.code();
        let mut lines = code.lines();
        while let Some(line) = lines.next() {
            if line.trim() != "#[test]" {
                continue;
            }
            let name = lines.by_ref().find_map(|line| line.trim().strip_prefix("fn "));
            let name = name.and_then(|rest| rest.split(['(', '<']).next()).unwrap_or_default();
            if name.starts_with("test_") || name.split('_').count() < 3 {
                found.push(format!("{}: `{name}` does not say what must hold", file.path));
            }
        }
    }
    assert_none(&found);
}

/// The files in which the modules that this one declares may be.
fn modules(path: &str, is_root: bool, text: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').expect("a path from the root of the project");
    let inner = match name.trim_end_matches(".rs") {
        "mod" => folder.to_owned(),
        _ if is_root => folder.to_owned(),
        name => format!("{folder}/{name}"),
    };
    let (mut found, mut stated) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(place) = line.strip_prefix("#[path = \"") {
            stated = place.strip_suffix("\"]");
        } else if let Some(name) = line
            .trim_start_matches("pub(crate) ")
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        {
            match stated.take() {
                Some(place) => found.push(joined(folder, place)),
                None => found.extend([format!("{inner}/{name}.rs"), format!("{inner}/{name}/mod.rs")]),
            }
        }
    }
    found
}

/// The path of `place`, as seen from `folder`.
fn joined(folder: &str, place: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in place.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a crate's Cargo.toml says about whom it knows.
struct Manifest {
    package: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    section: String,
    is_of_workspace: bool,
}

impl Dependency {
    fn is_ours(&self) -> bool {
        self.name == "strata" || self.name.starts_with("strata-")
    }
}

impl Manifest {
    fn read(folder: &str) -> Manifest {
        let mut values = BTreeMap::new();
        let mut dependencies = Vec::new();
        let mut section = String::new();
        for line in read(&format!("{folder}/Cargo.toml")).lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if let Some(name) = line.strip_prefix('[') {
                // `[target.'cfg(loom)'.dependencies]` holds dependencies like any other.
                let name = name.trim_end_matches(']');
                section = name.rsplit('.').next().unwrap_or(name).to_string();
            } else if let Some((key, value)) = line.split_once('=') {
                let (key, value) = (key.trim(), value.trim());
                if section.ends_with("dependencies") {
                    let name = key.split('.').next().unwrap_or(key).to_string();
                    let is_of_workspace = key.ends_with(".workspace") || value.contains("workspace = true");
                    dependencies.push(Dependency { name, section: section.clone(), is_of_workspace });
                } else {
                    values.insert(key.to_string(), value.trim_matches('"').to_string());
                }
            }
        }
        let package =
            values.remove("name").unwrap_or_else(|| panic!("{folder}/Cargo.toml names its package"));
        Manifest { package, dependencies }
    }
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}
