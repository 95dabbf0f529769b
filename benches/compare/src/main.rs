//! How does strata stand beside its peers, on this machine and at this moment?
//!
//! ```sh
//! cargo build --release -p strata-compare
//! target/release/compare --markdown --chart compare.svg
//! ```
//!
//! asks everything there is. Rows go to stderr as they come, tables to stdout at the end.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use strata_benches::machine;
use strata_compare::command::{Command, USAGE};
use strata_compare::engine::Engine;
use strata_compare::row::{Row, spread};
use strata_compare::{chart, markdown, workloads};

fn main() -> ExitCode {
    let command = match Command::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(reason) => {
            eprintln!("{reason}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(name) = &command.weighed {
        println!("{}", serde_json::json!(workloads::weigh(&command, name)));
        return ExitCode::SUCCESS;
    }
    let machine = machine::describe(&command.dir);
    eprintln!("compare: {machine}");
    let engines: Vec<&'static dyn Engine> = command.engines().collect();
    let mut rows = Vec::new();
    workloads::ask(&command, |row| {
        tell(&row);
        rows.push(row);
    });
    if command.is_markdown {
        println!("{}\n{}", markdown::figures(&rows, &engines), markdown::settings(&engines));
    }
    if let Some(path) = &command.chart
        && let Err(error) = std::fs::write(path, chart::svg(&rows, &engines))
    {
        eprintln!("compare: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One row for people.
fn tell(row: &Row) {
    eprintln!("{}", row.question);
    for (engine, rounds) in &row.answers {
        let figure = row.unit.text(rounds.median());
        eprintln!("    {:<10} {figure:>12} ±{:.0} %", engine.name(), spread(rounds));
    }
    let told = [(false, "the best peer"), (true, "the limit")].map(|(is_limit, name)| {
        let ratio = row.ratio(is_limit).zip(row.best(is_limit));
        ratio.map_or(String::new(), |(ratio, (best, _))| format!("{ratio:.2} of {name}, {best}"))
    });
    eprintln!("    -> {}", told.join("; "));
}
