//! Figures as tables of Markdown.

use crate::engine::{Engine, Promise};
use crate::row::{Row, short, spread};

/// Every row: what everybody answered, how far the rounds lie apart, and how strata stands.
pub fn figures(rows: &[Row], engines: &[&'static dyn Engine]) -> String {
    let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
    let mut text = format!("| | {} | of the best peer | of the limit |\n", names.join(" | "));
    text += &format!("|---|{}---|---|\n", "---|".repeat(names.len()));
    for row in rows {
        text += &format!("| {} ({}) |", row.question, unit(row));
        for name in &names {
            text += &match row.answer(name) {
                Some(rounds) => format!(" {} ±{:.0} % |", short(rounds.median()), spread(rounds)),
                None => " |".to_string(),
            };
        }
        for is_limit in [false, true] {
            text += &match (row.ratio(is_limit), row.best(is_limit)) {
                (Some(ratio), Some((name, _))) => format!(" {ratio:.2} x {name} |"),
                _ => " |".to_string(),
            };
        }
        text.push('\n');
    }
    text
}

/// The settings of everybody.
pub fn settings(engines: &[&'static dyn Engine]) -> String {
    let mut text =
        "| | without durability | handed to the kernel | on disk |\n|---|---|---|---|\n".to_string();
    for engine in engines {
        let told = [Promise::Nothing, Promise::Kernel, Promise::Disk]
            .map(|promise| engine.settings(promise).unwrap_or("-"));
        text += &format!("| {} | {} |\n", engine.name(), told.join(" | "));
    }
    text
}

fn unit(row: &Row) -> &'static str {
    match row.unit {
        crate::row::Unit::Rate => "a second",
        crate::row::Unit::Milliseconds => "ms",
        crate::row::Unit::Bytes => "bytes",
    }
}

#[cfg(test)]
mod tests {
    use strata_benches::timing::Rounds;

    use super::*;
    use crate::engines::ENGINES;
    use crate::row::Unit;

    #[test]
    fn a_row_has_a_cell_for_everybody_and_two_for_strata() {
        let rounds = |figure| {
            let mut rounds = Rounds::new();
            rounds.push(figure);
            rounds
        };
        let answers = vec![(ENGINES[0], rounds(3e6)), (ENGINES[2], rounds(1e6))];
        let row = Row { question: "put".to_string(), unit: Unit::Rate, answers };
        let text = figures(&[row], &ENGINES[..3]);
        let line = text.lines().last().unwrap();
        assert_eq!(line, "| put (a second) | 3.00 M ±0 % | | 1.00 M ±0 % | 3.00 x redb | |");
        let columns = |line: &str| line.matches('|').count();
        assert!(text.lines().all(|line| columns(line) == columns(text.lines().next().unwrap())));
    }
}
