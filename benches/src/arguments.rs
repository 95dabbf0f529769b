//! What is said on the command line of a bench.

use std::path::PathBuf;

/// What is said on the command line of a bench.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// A run of a few seconds that shows that the bench works; its figures mean little.
    pub is_quick: bool,
    /// Where stores are made and removed again; the system's place for temporary files by default.
    pub dir: PathBuf,
    /// Shard counts to measure; the bench chooses when none are given.
    pub shards: Vec<usize>,
    /// Only figures whose question contains this.
    pub only: Option<String>,
}

/// How the flags are told to people.
const USAGE: &str = "[--quick] [--dir DIR] [--shards 1,2,4] [--only PART_OF_A_QUESTION]";

impl Arguments {
    /// Reads the command line of this process; prints the usage and ends it when that fails.
    pub fn read() -> Arguments {
        Arguments::parse(std::env::args().skip(1)).unwrap_or_else(|reason| {
            eprintln!("{reason}\nusage: {USAGE}");
            std::process::exit(2);
        })
    }

    /// Reads the arguments that follow the name of the program.
    ///
    /// # Errors
    /// A sentence that names the argument which is not understood.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
        let mut parsed =
            Arguments { is_quick: false, dir: std::env::temp_dir(), shards: Vec::new(), only: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => parsed.is_quick = true,
                "--dir" => parsed.dir = value()?.into(),
                "--only" => parsed.only = Some(value()?),
                "--shards" => parsed.shards = counts(&value()?)?,
                other => return Err(format!("{other} is not understood")),
            }
        }
        Ok(parsed)
    }

    /// `full` in an ordinary run, `quick` in a quick one.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }

    /// Whether the figures named `question` are wanted.
    pub fn wants(&self, question: &str) -> bool {
        self.only.as_ref().is_none_or(|part| question.contains(part.as_str()))
    }
}

fn counts(list: &str) -> Result<Vec<usize>, String> {
    let count = |part: &str| match part.parse() {
        Ok(count @ 1..=256) => Ok(count),
        _ => Err(format!("{part} is not a number of shards between 1 and 256")),
    };
    list.split(',').map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn every_flag_is_understood_in_any_order() {
        let arguments = parse("--shards 1,2 --quick --only put --dir /data").unwrap();
        assert!(arguments.is_quick);
        assert_eq!(arguments.dir, PathBuf::from("/data"));
        assert_eq!(arguments.shards, [1, 2]);
        assert!(arguments.wants("put_in_memory") && !arguments.wants("get_in_memory"));
        assert_eq!(arguments.pick(10, 1), 1);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parse("--fast").unwrap_err().contains("--fast"));
        assert!(parse("--shards 1,none").unwrap_err().contains("none"));
        assert!(parse("--shards 0").unwrap_err().contains('0'));
        assert!(parse("--dir").unwrap_err().contains("--dir"));
    }
}
