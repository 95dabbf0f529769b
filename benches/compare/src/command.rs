//! What is said on the command line.

use std::path::PathBuf;

use crate::engine::Engine;
use crate::engines::ENGINES;

/// How the flags are told to people.
pub const USAGE: &str = "\
[--quick] [--markdown] [--chart FILE] [--only PART_OF_A_QUESTION,...] [--without ENGINE,...] [--dir DIR]";

/// What is said on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// A run of seconds that shows that everything works; its figures mean nothing.
    pub is_quick: bool,
    /// Whether the figures are told as tables of Markdown.
    pub is_markdown: bool,
    /// Where a drawing of the figures goes.
    pub chart: Option<PathBuf>,
    /// Only questions that contain one of these; all when there is none.
    pub only: Vec<String>,
    /// Engines and limits that are left out.
    pub without: Vec<String>,
    /// Where stores are made and removed again.
    pub dir: PathBuf,
    /// What this process is to weigh, alone; it was started by another one.
    pub weighed: Option<String>,
    /// Whether it is weighed with the least that it promises.
    pub is_bare: bool,
}

impl Command {
    /// Reads the arguments that follow the name of the program.
    ///
    /// # Errors
    /// A sentence that names the argument which is not understood.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
        let mut command = Command {
            is_quick: false,
            is_markdown: false,
            chart: None,
            only: Vec::new(),
            without: Vec::new(),
            dir: std::env::temp_dir(),
            weighed: None,
            is_bare: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => command.is_quick = true,
                "--markdown" => command.is_markdown = true,
                "--chart" => command.chart = Some(value()?.into()),
                "--only" => command.only = parts(&value()?),
                "--without" => command.without = engines(&value()?)?,
                "--dir" => command.dir = value()?.into(),
                "--weigh" => command.weighed = Some(value()?),
                "--bare" => command.is_bare = true,
                other => return Err(format!("{other} is not understood")),
            }
        }
        Ok(command)
    }

    /// `full` in an ordinary run, `quick` in a quick one.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }

    /// Whether a question is wanted.
    pub fn wants(&self, question: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| question.contains(part.as_str()))
    }

    /// The engines and limits that are wanted.
    pub fn engines(&self) -> impl Iterator<Item = &'static dyn Engine> {
        let is_wanted = |name: &str| !self.without.iter().any(|out| out.eq_ignore_ascii_case(name));
        ENGINES.iter().copied().filter(move |engine| is_wanted(engine.name()))
    }
}

fn parts(list: &str) -> Vec<String> {
    list.split(',').map(str::to_string).collect()
}

fn engines(list: &str) -> Result<Vec<String>, String> {
    let names = parts(list);
    let is_known = |name: &String| ENGINES.iter().any(|engine| engine.name().eq_ignore_ascii_case(name));
    match names.iter().find(|name| !is_known(name)) {
        Some(unknown) => {
            let known: Vec<&str> = ENGINES.iter().map(|engine| engine.name()).collect();
            Err(format!("{unknown} is none of {}", known.join(", ")))
        }
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn questions_and_engines_are_picked_by_name() {
        let command = parse("--only get,put --without SQLite,lmdb --quick").unwrap();
        assert!(command.wants("put, one a call") && !command.wants("scan"));
        let names: Vec<&str> = command.engines().map(|engine| engine.name()).collect();
        assert!(names.contains(&"strata") && !names.contains(&"SQLite") && !names.contains(&"LMDB"));
        assert_eq!(command.pick(5, 1), 1);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parse("--fast").unwrap_err().contains("--fast"));
        assert!(parse("--without oracle").unwrap_err().contains("oracle"));
        assert!(parse("--chart").unwrap_err().contains("--chart"));
    }
}
