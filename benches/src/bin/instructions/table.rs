//! The table of what each call took when it was last written down: `benches/instructions.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::counting::count_all;
use crate::question::Question;

/// Where the table is.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// How much a count may change unnoticed, in per cent, unless its row says otherwise.
const THRESHOLD: f64 = 5.0;

/// What stands above the rows.
const HEAD: &str = "\
# Instructions of one call, client and shard together, in the build of the tests; how many per cent more or fewer fail.
# Written by `target/debug/instructions --write`, compared by .ci/run; what they are is in docs/performance.md.
";

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    instructions: f64,
    threshold: f64,
}

/// The rows by the name of their question.
type Table = BTreeMap<String, Row>;

/// Counts, and compares with the table. What has left its threshold is counted once more: what has
/// changed has changed then, too, and what a shard did besides it did once.
///
/// # Errors
/// A sentence that names what has left its threshold both times, or why nothing could be compared.
pub(crate) fn compare(questions: &[&Question], dir: &Path) -> Result<(), String> {
    let table = read()?;
    let once = leaving(&table, questions, dir)?;
    let twice = if once.is_empty() { once } else { leaving(&table, &once, dir)? };
    if twice.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = twice.iter().map(|question| question.name).collect();
    Err(format!(
        "{} changed by more than the table allows. If it was meant, write the table again \
         (target/debug/instructions --write) and say why in the commit; if not, --profile tells where it goes",
        names.join(", ")
    ))
}

/// Counts, tells how much has changed, and returns what has left its threshold.
fn leaving<'a>(table: &Table, questions: &[&'a Question], dir: &Path) -> Result<Vec<&'a Question>, String> {
    let mut left = Vec::new();
    for (question, count) in questions.iter().zip(count_all(questions, dir)?) {
        let count = count.per_call();
        let judged = table
            .get(question.name)
            .ok_or_else(|| "is not in the table".to_string())
            .and_then(|row| judge(*row, count));
        match judged {
            Ok(change) => println!("{:<28} {count:>9.0} {change:>+6.1} %", question.name),
            Err(reason) => {
                println!("{:<28} {count:>9.0} {reason}", question.name);
                left.push(*question);
            }
        }
    }
    Ok(left)
}

/// Counts, and writes the table; the rows of other questions stay, and so do the thresholds.
///
/// # Errors
/// A sentence: it could not be counted, read or written.
pub(crate) fn write(questions: &[&Question], dir: &Path) -> Result<(), String> {
    let mut table = if Path::new(PATH).exists() { read()? } else { Table::new() };
    for (question, count) in questions.iter().zip(count_all(questions, dir)?) {
        let threshold = table.get(question.name).map_or(THRESHOLD, |row| row.threshold);
        table.insert(question.name.to_string(), Row { instructions: count.per_call(), threshold });
    }
    fs::write(PATH, text(&table)).map_err(|error| format!("{PATH}: {error}"))
}

/// How much more a count is than its row, in per cent; a sentence when that is too much in either direction.
fn judge(row: Row, count: f64) -> Result<f64, String> {
    let change = (count / row.instructions - 1.0) * 100.0;
    if change.abs() <= row.threshold {
        return Ok(change);
    }
    let direction = if change > 0.0 { "more" } else { "fewer" };
    let Row { instructions, threshold } = row;
    Err(format!(
        "{:.1} % {direction} than {instructions:.0}, of which {threshold} % are allowed",
        change.abs()
    ))
}

fn read() -> Result<Table, String> {
    parse(&fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?)
}

fn parse(text: &str) -> Result<Table, String> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| row(line).ok_or_else(|| format!("{PATH}: not a row: {line}"))).collect()
}

fn row(line: &str) -> Option<(String, Row)> {
    let mut fields = line.split_whitespace();
    let (name, instructions, threshold) = (fields.next()?, fields.next()?, fields.next()?);
    let row = Row { instructions: instructions.parse().ok()?, threshold: threshold.parse().ok()? };
    fields.next().is_none().then(|| (name.to_string(), row))
}

fn text(table: &Table) -> String {
    let mut text = HEAD.to_string();
    for (name, Row { instructions, threshold }) in table {
        let _ = writeln!(text, "{name:<28} {instructions:>9.0} {threshold:>3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_fails_when_it_is_more_and_when_it_is_fewer() {
        let row = Row { instructions: 1000.0, threshold: 5.0 };
        assert!((judge(row, 1040.0).unwrap() - 4.0).abs() < 1e-9);
        assert!(judge(row, 1060.0).unwrap_err().contains("6.0 % more than 1000"));
        assert!(judge(row, 940.0).unwrap_err().contains("6.0 % fewer than 1000"));
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        let rows = [("get", 3361.0, 5.0), ("put_strict", 16_275.0, 7.5)];
        let table: Table = rows
            .map(|(name, instructions, threshold)| (name.to_string(), Row { instructions, threshold }))
            .into();
        assert_eq!(parse(&text(&table)).unwrap(), table);
        assert!(parse("get 3361").unwrap_err().contains("get 3361"));
    }

    #[test]
    fn the_committed_table_has_a_row_for_every_question_and_no_other() {
        let questions: std::collections::BTreeSet<&str> =
            crate::question::QUESTIONS.iter().map(|question| question.name).collect();
        let table = read().unwrap();
        assert_eq!(table.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), questions);
    }
}
