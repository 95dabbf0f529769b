//! What the documents claim: each claim that a machine can check is checked here.

#[path = "tidy/tree.rs"]
#[allow(dead_code, reason = "the tests of the code's form use the rest of it")]
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use strata::{Durability, KvScan, Limits, Options};
use strata_primitives::limits::{OPERATION_IDS_MAX, VALUE_DEPTH_MAX};
use strata_primitives::{LARGE_VALUE_SIZE, Mutation};
use strata_runtime::SPIN_BUDGET_MAX;
use tree::{files, read, root};

#[test]
fn the_documented_options_are_the_default_ones() {
    let options = Options::default();
    let expected = BTreeMap::from([
        ("durability", format!("`{:?}`", options.durability)),
        ("shards", format!("`{:?}`", options.shards)),
        ("sync_interval", format!("{} ms", options.sync_interval.as_millis())),
        ("mailbox_capacity", format!("{} messages", options.mailbox_capacity)),
        ("execute_budget", format!("{} ms", options.execute_budget.as_millis())),
        ("checkpoint_log_size", format!("{} MiB", options.checkpoint_log_size >> 20)),
        ("checkpoint_interval", format!("{} min", options.checkpoint_interval.as_secs() / 60)),
        ("memory_budget", format!("{} GiB", options.memory_budget >> 30)),
        ("retention", options.retention.to_string()),
        ("event_retention", options.event_retention.to_string()),
        ("trace_retention", options.trace_retention.to_string()),
        ("record_reads", format!("`{}`", options.record_reads)),
        ("measure_layers", format!("`{}`", options.measure_layers)),
        ("pin", format!("`{}`", options.pin)),
        ("io_uring", format!("`{}`", options.io_uring)),
        ("limits", "`Limits::default()`".to_string()),
    ]);
    let source = read("facade/src/open_options.rs");
    assert_eq!(options.limits, Limits::default());
    assert_eq!(fields_of(&source, "Options"), expected.keys().copied().collect::<BTreeSet<_>>());
    let in_code = table(&source.replace("/// ", ""), "| field | default |");
    let in_document = table(&read("docs/limits.md"), "| option | default |");
    for (field, default) in &expected {
        assert_eq!(in_code.get(*field), Some(default), "{field} in facade/src/open_options.rs");
        assert_eq!(in_document.get(*field), Some(default), "{field} in docs/limits.md");
    }
    assert_eq!((in_code.len(), in_document.len()), (expected.len(), expected.len()));
}

#[test]
fn the_documented_limits_are_the_default_ones() {
    let limits = Limits::default();
    let expected = BTreeMap::from([
        ("key_size_max", bytes(limits.key_size_max)),
        ("value_size_max", bytes(limits.value_size_max)),
        ("depth_max", format!("{} levels", limits.depth_max)),
        ("items_max", format!("{} items", grouped(limits.items_max))),
        ("path_segments_max", format!("{} segments", limits.path_segments_max)),
        ("transaction_mutations_max", format!("{} mutations", grouped(limits.transaction_mutations_max))),
        ("transaction_size_max", bytes(limits.transaction_size_max)),
        ("transaction_reads_size_max", bytes(limits.transaction_reads_size_max)),
        ("run_name_size_max", bytes(limits.run_name_size_max)),
        ("namespace_chars_max", format!("{} characters", limits.namespace_chars_max)),
        ("tag_count_max", format!("{} tags", limits.tag_count_max)),
        ("metadata_size_max", bytes(limits.metadata_size_max)),
        ("cause_size_max", bytes(limits.cause_size_max)),
        ("snapshot_size_max", bytes(limits.snapshot_size_max)),
        ("run_size_max", bytes(limits.run_size_max)),
    ]);
    assert_eq!(limits.depth_max, VALUE_DEPTH_MAX);
    let source = read("primitives/src/limits.rs");
    assert_eq!(fields_of(&source, "Limits"), expected.keys().copied().collect::<BTreeSet<_>>());
    let in_document = table(&read("docs/limits.md"), "| limit | default |");
    for (field, default) in &expected {
        assert_eq!(in_document.get(*field), Some(default), "{field} in docs/limits.md");
    }
    assert_eq!(in_document.len(), expected.len());
}

#[test]
fn numbers_in_prose_are_those_of_the_code() {
    let options = Options::default();
    let interval = format!("{} ms", options.sync_interval.as_millis());
    let ids = grouped(OPERATION_IDS_MAX);
    let limit = grouped(KvScan::default().limit);
    let look = format!("{} us", SPIN_BUDGET_MAX.as_micros());
    assert_eq!(
        options.durability,
        Durability::Buffered,
        "README.md and docs/durability.md call it the default"
    );
    for (file, sentence) in [
        ("facade/src/handle.rs", format!("a run remembers its latest {ids}")),
        ("facade/src/kv.rs", format!("{limit} by default")),
        ("facade/src/reads.rs", format!("[{} and more]", bytes(LARGE_VALUE_SIZE))),
        ("docs/architecture.md", format!("at most {look}")),
        (
            "docs/decisions/0031-who-waits-looks-longer-than-a-wake-up-takes-and-gives-way.md",
            format!("up to {look}"),
        ),
        ("docs/limits.md", format!("remembers its latest {ids} operation ids")),
        ("docs/limits.md", format!("holds {limit} keys unless")),
        ("docs/durability.md", format!("(default {interval})")),
        ("README.md", format!("(default {interval})")),
    ] {
        let text = read(file).replace("\n    /// ", " ").replace('\n', " ");
        assert!(text.contains(&sentence), "{file} says nothing of \"{sentence}\"");
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let sources = files("rs");
    let mut missing = Vec::new();
    let mut count = 0;
    for document in files("md") {
        for name in named_tests(&document.text) {
            count += 1;
            let definition = format!("fn {name}(");
            if !sources.iter().any(|source| source.text.contains(&definition)) {
                missing.push(format!("{}: {name}", document.path));
            }
        }
    }
    assert!(count > 0, "the documents name tests");
    assert!(
        missing.is_empty(),
        "{} tests are named and do not exist:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

/// Of commands in documents as well as in code.
#[test]
fn every_test_binary_and_subject_of_a_command_exists() {
    let sources = files("rs");
    let is_there = |file: String| {
        sources.iter().any(|source| source.path.split_once("/tests/").is_some_and(|(_, path)| path == file))
    };
    let mut missing = Vec::new();
    let mut count = 0;
    for document in files("md").iter().chain(&sources) {
        for command in document.text.split(concat!("--te", "st ")).skip(1) {
            let mut words = command.lines().next().unwrap_or_default().split([' ', '`', '"']);
            let binary = words.next().unwrap_or_default();
            count += 1;
            if !is_there(format!("{binary}.rs")) && !is_there(format!("{binary}/main.rs")) {
                missing.push(format!("{}: no binary {binary}", document.path));
            }
            let Some(subject) =
                words.next().and_then(|word| word.split_once("::")).map(|(subject, _)| subject)
            else {
                continue;
            };
            if !is_there(format!("{binary}/{subject}.rs")) && !is_there(format!("{binary}/{subject}/mod.rs"))
            {
                missing.push(format!("{}: no {subject} in {binary}", document.path));
            }
        }
    }
    assert!(count > 0, "the documents show how a test is run");
    assert!(missing.is_empty(), "{} commands would find no test:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn every_promise_of_durability_names_its_test() {
    let document = read("docs/durability.md");
    for heading in ["| promise | proof |", "| recovery | proof |"] {
        let promises = rows(&document, heading);
        assert!(!promises.is_empty(), "docs/durability.md has a table `{heading}`");
        for row in promises {
            assert!(!named_tests(&row[1]).is_empty(), "no test proves: {}", row[0]);
        }
    }
}

#[test]
fn every_promise_of_the_contract_names_its_test() {
    let document = read("docs/contract.md");
    let promises = rows_that_end_with(&document, "proof");
    assert!(promises.len() > 40, "docs/contract.md has its tables");
    for row in promises {
        assert!(row.len() == 2 && !named_tests(&row[1]).is_empty(), "no test proves: {}", row[0]);
    }
}

#[test]
fn every_step_of_extending_names_what_fails_without_it() {
    let document = read("docs/extending.md");
    let steps = rows_that_end_with(&document, "without it");
    assert!(steps.len() > 20, "docs/extending.md has its tables");
    for row in steps {
        let [step, file, without] = &row[..] else { panic!("{row:?} is a step, a file and what fails") };
        assert!(file.split('`').skip(1).step_by(2).any(is_source_path), "no file for: {step}");
        let says =
            !named_tests(without).is_empty() || without == "compiler" || without.starts_with("nothing: ");
        assert!(says, "nothing said of: {step}");
    }
}

#[test]
fn every_mutation_is_on_the_page_of_the_format() {
    let document = read("docs/format.md");
    let told: Vec<_> = rows(&document, "| tag | mutation | fields |")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let there: Vec<_> =
        Mutation::table().iter().map(|row| (row.tag.to_string(), row.name.to_owned())).collect();
    assert_eq!(told, there);
}

#[test]
fn every_counter_is_on_the_page_of_observing() {
    let document = read("docs/observing.md");
    for (heading, file, name) in [
        ("| shard | unit | what it counts |", "shards/src/report.rs", "ShardStats"),
        ("| log | unit | what it counts |", "wal/src/log.rs", "LogStatistics"),
        ("| layers | unit | what it counts |", "shards/src/layers.rs", "LayerTimes"),
    ] {
        let rows = rows(&document, heading);
        let told: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        let source = read(file);
        assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), fields_of(&source, name), "{name}");
        assert_eq!(told.len(), fields_of(&source, name).len(), "{name}: each once");
    }
}

#[test]
fn every_part_of_the_format_names_its_golden_test() {
    let document = read("docs/format.md");
    for section in document.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        assert!(!named_tests(section).is_empty(), "no test keeps the bytes of: {title}");
    }
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = Vec::new();
    for document in files("md") {
        let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in links(&document.text) {
            if !root().join(folder).join(target).exists() {
                missing.push(format!("{}: link to {target}", document.path));
            }
        }
        for span in document.text.split('`').skip(1).step_by(2).filter(|span| is_source_path(span)) {
            if !root().join(span).exists() {
                missing.push(format!("{}: `{span}`", document.path));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} files are named and do not exist:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_decision_tells_what_was_faced_chosen_and_refused() {
    let decisions: Vec<_> =
        files("md").into_iter().filter(|file| file.path.starts_with("docs/decisions/")).collect();
    assert!(!decisions.is_empty());
    for (index, decision) in decisions.iter().enumerate() {
        let number = format!("docs/decisions/{:04}-", index + 1);
        assert!(decision.path.starts_with(&number), "{} does not follow in number", decision.path);
        for heading in ["\n## Faced\n", "\n## Chosen\n", "\n## Refused\n"] {
            assert!(decision.text.contains(heading), "{} lacks{heading}", decision.path);
        }
    }
}

/// An example without the lines around it that every test needs.
#[test]
fn every_example_on_the_page_of_time_is_lines_of_a_test() {
    let source = read("facade/tests/time/page.rs").replace("\n    ", "\n");
    let document = read("docs/time.md");
    let examples: Vec<&str> =
        document.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 5, "docs/time.md shows how it is used");
    for example in examples {
        assert!(source.contains(example), "no test has these lines:\n{example}");
    }
}

#[test]
fn the_checks_run_the_commands_of_the_readme() {
    let (readme, checks) = (read("README.md"), read(".ci/run"));
    for command in ["cargo run --example agent", "cargo test"] {
        assert!(
            readme.lines().any(|line| line.trim() == command),
            "README.md shows `{command}` on a line of its own"
        );
        // The checks state `--locked` beside it: a build of another tree is not a check of this one.
        let locked = command.replacen("cargo run", "cargo run --locked", 1).replacen(
            "cargo test",
            "cargo test --locked",
            1,
        );
        assert!(checks.contains(&locked), ".ci/run runs `{locked}`");
    }
}

/// The names in every "test: `name`" of a text.
fn named_tests(text: &str) -> Vec<String> {
    text.split("test: `").skip(1).filter_map(|rest| rest.split('`').next()).map(str::to_string).collect()
}

/// The targets of links inside the project.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

/// Whether a code span is the path of a file of the project, and not a pattern of paths.
fn is_source_path(span: &str) -> bool {
    let is_plain = span.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char));
    is_plain && span.contains('/') && [".rs", ".md", ".toml"].iter().any(|ending| span.ends_with(ending))
}

/// The rows of the table that begins with this heading, as the text of their cells.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| line.trim() != heading).skip(2);
    let rows = lines.take_while(|line| line.trim().starts_with('|'));
    rows.map(|row| row.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect())
        .collect()
}

/// The rows of every table whose last column has this heading.
fn rows_that_end_with(text: &str, last: &str) -> Vec<Vec<String>> {
    let is_heading = |line: &&str| line.starts_with('|') && line.ends_with(&format!("| {last} |"));
    let headings: BTreeSet<_> = text.lines().filter(is_heading).collect();
    let tables = text.split("\n\n").filter_map(|block| {
        let heading = headings.iter().find(|heading| block.lines().next() == Some(**heading))?;
        Some(rows(block, heading))
    });
    tables.flatten().collect()
}

/// A table of two columns: names in quotes on the left, what stands beside them on the right.
fn table(text: &str, heading: &str) -> BTreeMap<String, String> {
    rows(text, heading)
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_string(), row[1].clone()))
        .collect()
}

/// The public fields of a struct, as its source lists them.
fn fields_of<'a>(source: &'a str, name: &str) -> BTreeSet<&'a str> {
    let opening = format!("pub struct {name} {{");
    let body = source.split(&opening).nth(1).and_then(|rest| rest.split("\n}").next()).unwrap_or_default();
    body.lines()
        .filter_map(|line| line.trim().strip_prefix("pub "))
        .filter_map(|line| line.split(':').next())
        .collect()
}

/// A size in the largest unit that shows it whole.
fn bytes(size: usize) -> String {
    match size {
        _ if size.is_multiple_of(1 << 30) => format!("{} GiB", size >> 30),
        _ if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size.is_multiple_of(1 << 10) && size > 1 << 10 => format!("{} KiB", size >> 10),
        _ => format!("{} bytes", grouped(size)),
    }
}

/// A number with a comma before every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
