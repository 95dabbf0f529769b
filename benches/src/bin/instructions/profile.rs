//! Through which layers and functions a call goes, as a Markdown table.

use std::collections::BTreeMap;
use std::path::Path;

use crate::counting::{Count, count_all};
use crate::question::Question;

/// Functions of one layer that have a row of their own.
const FUNCTION_COUNT: usize = 6;

/// A layer, and what only names of its functions contain; the first that fits is taken.
const LAYERS: [(&str, &[&str]); 8] = [
    ("allocator", &["mi_", "mi_free", "mimalloc", "alloc::alloc"]),
    ("wal", &["strata_wal", "crc32fast"]),
    ("shards", &["strata_shards", "hdrhistogram"]),
    ("primitives", &["strata_primitives", "imbl", "blake3"]),
    ("runtime", &["strata_runtime", "crossbeam_channel"]),
    ("facade", &["strata::"]),
    ("the bench itself", &["instructions::", "strata_benches"]),
    ("clock, libc, std", &[""]),
];

/// Counts, and prints a table for each question.
///
/// # Errors
/// A sentence: it could not be counted.
pub(crate) fn print(questions: &[&Question], dir: &Path) -> Result<(), String> {
    for (question, count) in questions.iter().zip(count_all(questions, dir)?) {
        println!("{}", table(question.name, &count));
    }
    Ok(())
}

/// What each function took of one call.
type Functions<'a> = BTreeMap<&'a str, f64>;

fn table(name: &str, count: &Count) -> String {
    let mut layers: BTreeMap<&str, Functions<'_>> = BTreeMap::new();
    for (function, cost) in [&count.client, &count.shard].into_iter().flat_map(|cost| cost.functions()) {
        let functions = layers.entry(layer(function)).or_default();
        *functions.entry(function).or_default() += cost / count.calls as f64;
    }
    let sum = |functions: &Functions<'_>| functions.values().sum::<f64>();
    let all: f64 = layers.values().map(sum).sum();
    let mut rows: Vec<(&str, Functions<'_>)> = layers.into_iter().collect();
    rows.sort_by(|(_, left), (_, right)| sum(right).total_cmp(&sum(left)));
    let mut text = format!("| {name} | instructions | share | most of it |\n|---|---|---|---|\n");
    for (layer, functions) in rows {
        let own = sum(&functions);
        let share = 100.0 * own / all;
        text += &format!("| {layer} | {own:.0} | {share:.0} % | {} |\n", most(&functions));
    }
    text + &format!("| all | {all:.0} | | |\n")
}

/// The functions that take most, with what they take.
fn most(functions: &Functions<'_>) -> String {
    let mut functions: Vec<(&str, f64)> = functions.iter().map(|(name, cost)| (*name, *cost)).collect();
    functions.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let told = functions.iter().take(FUNCTION_COUNT).filter(|(_, cost)| *cost >= 0.5);
    told.map(|(name, cost)| format!("`{}` {cost:.0}", short(name))).collect::<Vec<_>>().join(", ")
}

fn layer(function: &str) -> &'static str {
    let fits = |parts: &&[&str]| parts.iter().any(|part| function.contains(part));
    LAYERS.iter().find(|(_, parts)| fits(parts)).map_or("", |(layer, _)| layer)
}

/// The last two parts of a name, without what stands in angle brackets: `Shard::turn`.
fn short(function: &str) -> String {
    let (mut plain, mut depth) = (String::new(), 0_usize);
    for letter in function.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '|' => {}
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty()).collect();
    parts[parts.len().saturating_sub(2)..].join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_layer_that_its_name_names() {
        assert_eq!(layer("strata_shards::shard::Shard::turn"), "shards");
        assert_eq!(layer("crossbeam_channel::flavors::array::Channel<T>::try_send"), "runtime");
        assert_eq!(layer("<strata::handle::RunHandle as strata::reads::Reads>::ask"), "facade");
        assert_eq!(layer("_mi_page_malloc_zero"), "allocator");
        assert_eq!(layer("__memcpy_avx_unaligned_erms"), "clock, libc, std");
    }

    #[test]
    fn a_name_is_told_by_its_last_two_parts() {
        assert_eq!(short("strata_shards::shard::Shard::turn"), "Shard::turn");
        assert_eq!(short("core::ptr::drop_in_place<strata_primitives::value::Value>"), "ptr::drop_in_place");
        assert_eq!(short("mi_free"), "mi_free");
    }
}
