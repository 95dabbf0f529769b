//! The four tools of the agent: list, read, count and search, over plain files.
//!
//! A tool never stops the agent: what goes wrong (a file that is gone, a folder without rights) is its result.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use strata::Value;

use crate::plan::extension;

/// Longer files are read up to here; the result says so.
const READ_SIZE_MAX: u64 = 1 << 20;
const NAME_COUNT_MAX: usize = 40;
const OPENING_CHARS_MAX: usize = 160;
const PLACE_COUNT_MAX: usize = 5;

/// What a tool found: the result as recorded in its event, and one line for the agent's notes.
pub(crate) struct Finding {
    pub result: Value,
    pub note: String,
    pub lines: i64,
    pub bytes: i64,
}

impl Finding {
    fn new(result: Value, note: String) -> Finding {
        Finding { result, note, lines: 0, bytes: 0 }
    }

    fn failed(error: &io::Error) -> Finding {
        Finding::new(Value::from([("error", Value::from(error.to_string()))]), format!("failed: {error}"))
    }
}

pub(crate) fn list(root: &Path, folder: &str) -> Finding {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) => return Finding::failed(&error),
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let total = names.len();
    names.truncate(NAME_COUNT_MAX);
    let listed = names.into_iter().map(Value::from).collect();
    let result = Value::from([("names", Value::Array(listed)), ("total", Value::Int(total as i64))]);
    Finding::new(result, format!("{total} in it"))
}

pub(crate) fn read(root: &Path, file: &str) -> Finding {
    let (text, size) = match load(root, file) {
        Ok(loaded) => loaded,
        Err(error) => return Finding::failed(&error),
    };
    let Some(text) = text else {
        let result = Value::from([("bytes", Value::Int(size as i64)), ("binary", Value::Bool(true))]);
        return Finding { bytes: size as i64, ..Finding::new(result, format!("binary, {size} bytes")) };
    };
    let lines = text.lines().count() as i64;
    let opening: String = text.trim_start().chars().take(OPENING_CHARS_MAX).collect();
    let result = Value::from([
        ("bytes", Value::Int(size as i64)),
        ("lines", Value::Int(lines)),
        ("words", Value::Int(text.split_whitespace().count() as i64)),
        ("cut", Value::Bool(size > READ_SIZE_MAX)),
        ("opening", Value::from(opening.as_str())),
    ]);
    let first = opening.lines().next().unwrap_or("").trim().to_owned();
    Finding { lines, bytes: size as i64, ..Finding::new(result, format!("lines {lines}: {first}")) }
}

/// Counts files and lines among `files` that end in `wanted`.
pub(crate) fn count<'a>(root: &Path, files: impl Iterator<Item = &'a str>, wanted: &str) -> Finding {
    let (mut file_count, mut line_count) = (0, 0);
    for file in files.filter(|file| extension(file) == wanted) {
        file_count += 1;
        if let Ok((Some(text), _)) = load(root, file) {
            line_count += text.lines().count();
        }
    }
    let result = Value::from([("files", Value::Int(file_count)), ("lines", Value::Int(line_count as i64))]);
    Finding::new(result, format!("files {file_count}, lines {line_count}"))
}

/// Looks for `term` in `files`, in any case of its letters.
pub(crate) fn search<'a>(root: &Path, files: impl Iterator<Item = &'a str>, term: &str) -> Finding {
    let (mut matches, mut file_count, mut places) = (0, 0, Vec::new());
    for file in files {
        let Ok((Some(text), _)) = load(root, file) else { continue };
        let mut found = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.to_ascii_lowercase().contains(term))
            .map(|(index, _)| index + 1)
            .peekable();
        let Some(first) = found.peek().copied() else { continue };
        file_count += 1;
        matches += found.count() as i64;
        if places.len() < PLACE_COUNT_MAX {
            places.push(Value::from(format!("{file}:{first}")));
        }
    }
    let result = Value::from([
        ("lines", Value::Int(matches)),
        ("files", Value::Int(file_count)),
        ("first", Value::Array(places)),
    ]);
    Finding::new(result, format!("lines {matches}, files {file_count}"))
}

/// The text of a regular file (`None` when it holds none) and its whole size.
fn load(root: &Path, file: &str) -> io::Result<(Option<String>, u64)> {
    let path = root.join(file);
    let metadata = fs::symlink_metadata(&path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("no longer a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(READ_SIZE_MAX).read_to_end(&mut bytes)?;
    if bytes.contains(&0) {
        return Ok((None, metadata.len()));
    }
    Ok((Some(String::from_utf8_lossy(&bytes).into_owned()), metadata.len()))
}
