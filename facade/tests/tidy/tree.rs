//! The files of the project, as the tests of its form see them.

use std::fs;
use std::path::{Path, PathBuf};

/// One file: its path from the root of the project, with `/` between the parts, and what it holds.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    /// The crate's folder that the file belongs to.
    pub(crate) fn folder(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The text without comments and without what stands in quotes, line for line.
    pub(crate) fn code(&self) -> String {
        code_of(&self.text)
    }
}

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What one file of the project holds.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Every file whose name ends in `.extension`, ordered by path; build folders and hidden ones are left out.
pub(crate) fn files(extension: &str) -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&root(), "", extension, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "the project has files named *.{extension}");
    found
}

fn collect(folder: &Path, prefix: &str, extension: &str, found: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.map(|entry| entry.expect("a folder of the project can be listed")) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || name.starts_with("target") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), extension, found);
        } else if Path::new(&name).extension().is_some_and(|found| found == extension) {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push(SourceFile { path: format!("{prefix}{name}"), text });
        }
    }
}

/// Rust source with comments and literals blanked; every line stays on its line.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_size(rest),
            '"' => quoted_size(rest),
            'r' if !ends_in_word(&code) => raw_string_size(rest),
            '\'' => char_size(rest),
            _ => 0,
        };
        let (blanked, kept) =
            if skipped > 0 { (skipped, "") } else { (first.len_utf8(), &rest[..first.len_utf8()]) };
        code.push_str(kept);
        if kept.is_empty() {
            code.extend(rest[..blanked].chars().filter(|char| *char == '\n'));
        }
        rest = &rest[blanked..];
    }
    code
}

fn block_comment_size(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted_size(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The size of `r"..."` or `r#"..."#` at the start of `text`; 0 if it is something else.
fn raw_string_size(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|char| *char == '#').count();
    let open = 1 + hashes;
    if !text[open..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[open + 1..].find(&end).map_or(text.len(), |at| open + 1 + at + end.len())
}

/// The size of a character literal at the start of `text`; 0 for a lifetime.
fn char_size(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let behind = at + escaped.len_utf8();
            text[behind..].find('\'').map_or(0, |end| behind + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Whether the last character belongs to a name; `b` and `c` before a raw string do not count.
fn ends_in_word(code: &str) -> bool {
    let mut back = code.chars().rev();
    match back.next() {
        Some('b' | 'c') => back.next().is_some_and(is_word),
        Some(char) => is_word(char),
        None => false,
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The lines of `code` that hold `word` as a whole word, counted from one.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let has = |line: &str| line.split(|char: char| !is_word(char)).any(|found| found == word);
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(index, _)| index + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let text = "let a = \"unsafe \\\" \"; // unsafe\n/* unsafe /* */ unsafe */ let b = r#\"unsafe\"#;\nlet c = 'u'; \
                    let d: &'static str = br\"unsafe\"; let e = '\\'';\nunsafe { }";
        assert_eq!(lines_with_word(&code_of(text), "unsafe"), [4]);
    }

    #[test]
    fn a_word_inside_a_longer_word_is_another_word() {
        assert_eq!(lines_with_word("#![forbid(unsafe_code)]\nunsafe impl Sync for Slot {}", "unsafe"), [2]);
    }
}
