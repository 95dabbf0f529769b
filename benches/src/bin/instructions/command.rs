//! What is said on the command line.

use std::path::PathBuf;

/// How the flags are told to people.
const USAGE: &str = "[--write | --profile | --quick] [--only PART_OF_A_NAME] [--dir DIR]";

/// What is to be done with the questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Count, and compare with the table.
    Compare,
    /// Count, and write the table.
    Write,
    /// Count, and tell where the instructions are.
    Profile,
    /// Ask, and count nothing.
    Quick,
    /// Be counted, for so many calls: this process was started by another one, below valgrind.
    Counted(usize),
}

/// What is said on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) purpose: Purpose,
    /// Only questions whose name contains this, or is this for one that is counted.
    pub(crate) only: Option<String>,
    /// Where stores are made and removed again.
    pub(crate) dir: PathBuf,
}

impl Command {
    /// Reads the command line of this process; prints the usage and ends it when that fails.
    pub(crate) fn read() -> Command {
        Command::parse(std::env::args().skip(1)).unwrap_or_else(|reason| {
            eprintln!("{reason}\nusage: {USAGE}");
            std::process::exit(2);
        })
    }

    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
        let mut command = Command { purpose: Purpose::Compare, only: None, dir: std::env::temp_dir() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--write" => command.purpose = Purpose::Write,
                "--profile" => command.purpose = Purpose::Profile,
                "--quick" => command.purpose = Purpose::Quick,
                "--counted" => command.purpose = Purpose::Counted(number(&value()?)?),
                "--only" => command.only = Some(value()?),
                "--dir" => command.dir = value()?.into(),
                other => return Err(format!("{other} is not understood")),
            }
        }
        Ok(command)
    }

    /// Whether the question of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_wanted = |part: &String| match self.purpose {
            Purpose::Counted(_) => name == part,
            _ => name.contains(part.as_str()),
        };
        self.only.as_ref().is_none_or(is_wanted)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is not a number of calls"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn every_flag_is_understood_in_any_order() {
        let command = parse("--only get --write --dir /data").unwrap();
        assert_eq!(command.purpose, Purpose::Write);
        assert_eq!(command.dir, PathBuf::from("/data"));
        assert!(command.wants("get_many_in_memory") && !command.wants("put_strict"));
        assert!(parse("--fast").unwrap_err().contains("--fast"));
        assert!(parse("--only").unwrap_err().contains("--only"));
    }

    #[test]
    fn a_process_that_is_counted_answers_one_question_only() {
        let command = parse("--counted 10 --only put_strict").unwrap();
        assert_eq!(command.purpose, Purpose::Counted(10));
        assert!(command.wants("put_strict") && !command.wants("put_strict_of_more"));
    }
}
