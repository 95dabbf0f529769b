//! A dump of what is provably good in a store that may be damaged.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use strata_primitives::{Error, ErrorKind, RunId, Value, Version};
use strata_shards::{Damage, Salvaged, SalvagedStore};
use strata_wal::storage::Storage;

use crate::Result;
use crate::json_text::json_line;
use crate::salvage_lines::{write_error, write_run};
use crate::tagged::tagged_number;

/// What a salvage found, and where it lies now. The file `report.json` of the dump says the same.
#[derive(Clone, Debug)]
pub struct SalvageReport {
    /// Which store it is, 32 hexadecimal digits.
    pub store: String,
    /// Segments of logs that were read.
    pub segments: u64,
    /// Records in them, of batches that are whole.
    pub records: u64,
    /// Everything that was read and does not hold, whether or not it cost a run something; in the order of files.
    pub damage: Vec<Damage>,
    /// Every run of which anything is known, ordered by id.
    pub runs: Vec<SalvagedRun>,
}

/// What a salvage found of one run.
#[derive(Clone, Debug)]
pub struct SalvagedRun {
    /// The run.
    pub id: RunId,
    /// Its name, where something says it.
    pub name: Option<String>,
    /// How much of it there is.
    pub outcome: SalvageOutcome,
    /// The version that is proven, and dumped; 0 when none is.
    pub version: Version,
    /// The newest version that anything names.
    pub known: Version,
    /// Why it is not the newest version, if it is not.
    pub stopped: Option<Damage>,
    /// Damage behind its newest record, in which later ones may have been that nothing names.
    pub doubt: Option<Damage>,
    /// Whether MANIFEST or the log itself tells that the image it begins with was not taken back by a crash.
    pub is_confirmed: bool,
    /// Its file in the dump.
    pub file: Option<String>,
    /// How many lines that has.
    pub lines: u64,
}

/// How much of a run was salvaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SalvageOutcome {
    /// The newest version that anything names.
    Whole,
    /// An older one.
    Partial,
    /// At the version that is proven the run was deleted. If there is a newer one, it is lost.
    Deleted,
    /// Nothing.
    Lost,
}

impl fmt::Display for SalvageOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SalvageOutcome::Whole => "whole",
            SalvageOutcome::Partial => "partial",
            SalvageOutcome::Deleted => "deleted",
            SalvageOutcome::Lost => "lost",
        })
    }
}

/// Reads a store that may be damaged anywhere, and writes what is proven of every run to the directory `into`, which must be missing or
/// empty, and not inside the store. The store is not written to, repaired or opened; writers are kept out meanwhile, readers are not.
///
/// Each run is dumped at the newest version to which an image whose sums hold and records without a gap lead: lines of JSON in a file of its
/// own. Behind that nothing is guessed. `report.json` is written last, so a dump without it is not finished. The form of both stands in
/// `docs/recovery.md`.
///
/// One run at a time is in memory, with those it was forked from, beside some hundred bytes for every run, image and gap of a log, and the
/// report.
///
/// ```
/// use strata::{Database, Options, RunSpec, SalvageOutcome, Writes, salvage};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let (path, dump) = (scratch.path().join("strata.db"), scratch.path().join("dump"));
/// let database = Database::open(&path, Options::default())?;
/// database.begin_run(RunSpec::named("trip"))?.put("city", "Oslo")?;
/// database.close()?;
/// std::fs::write(path.join("MANIFEST"), "gone")?; // what no open survives
/// let report = salvage(&path, &dump)?;
/// assert_eq!(report.runs[0].outcome, SalvageOutcome::Whole);
/// let lines = std::fs::read_to_string(dump.join(report.runs[0].file.as_ref().unwrap()))?;
/// assert!(lines.lines().nth(1).unwrap().starts_with(r#"{"key":"city","value":"Oslo","version":2,"#));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `NotFound` when there is no store, `AlreadyOpen` while somebody writes it, `Unsupported` when it is of a newer format, `Corrupt` when no
/// file tells which store it is, `InvalidArgument` for a directory that is not empty or lies in the store, `Io` and `Full` for what the disk
/// refuses of the dump. Damage is no error: it is in the report.
pub fn salvage(store: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<SalvageReport> {
    salvage_from(store.as_ref(), None, into.as_ref())
}

/// The same of a store on a storage of the caller's.
#[doc(hidden)]
pub fn salvage_from(store: &Path, storage: Option<Arc<dyn Storage>>, into: &Path) -> Result<SalvageReport> {
    check_target(store, into)?;
    let mut runs = Vec::new();
    let mut take = |found: Salvaged| {
        // Only now is it known that there is a store.
        create_target(into)?;
        runs.push(dump(found, into)?);
        Ok(())
    };
    let found = strata_shards::salvage(store, storage, &mut take)?;
    create_target(into)?;
    let SalvagedStore { id, segments, records, damage } = found;
    runs.sort_by_key(|run| run.id);
    let report = SalvageReport { store: id, segments, records, damage, runs };
    write_file(&into.join("report.json"), |out| {
        writeln!(out, "{}", json_line(&report_value(&report)))
            .map_err(|error| write_error("the report", error))
    })?;
    let synced = File::open(into).and_then(|dir| dir.sync_all());
    synced.map_err(|error| write_error("the directory", error))?;
    Ok(report)
}

/// Writes one run.
fn dump(found: Salvaged, into: &Path) -> Result<SalvagedRun> {
    let Salvaged { run: id, name, state, known, stopped, doubt, is_confirmed } = found;
    let version = state.as_ref().map_or(Version::NEVER, |state| state.version());
    let mut dumped = SalvagedRun {
        id,
        name,
        outcome: SalvageOutcome::Lost,
        version,
        known,
        stopped,
        doubt,
        is_confirmed,
        file: None,
        lines: 0,
    };
    let Some(mut state) = state else { return Ok(dumped) };
    if !state.exists() {
        dumped.outcome = SalvageOutcome::Deleted;
        return Ok(dumped);
    }
    let name = format!("{id}.jsonl");
    let path = into.join(&name);
    match write_file(&path, |out| write_run(&mut state, out)) {
        Ok(lines) => {
            dumped.outcome = if version >= known { SalvageOutcome::Whole } else { SalvageOutcome::Partial };
            (dumped.file, dumped.lines) = (Some(name), lines);
        }
        // Bytes whose sums are right and which are no value: nobody knows what the rest is worth.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            fs::remove_file(&path).map_err(|error| write_error("a run", error))?;
            let reason = format!("commit {version} holds something that is no value: {error}");
            dumped.version = Version::NEVER;
            dumped.stopped = Some(Damage { file: PathBuf::new(), offset: 0, reason });
        }
        Err(error) => return Err(error),
    }
    Ok(dumped)
}

/// Writes a new file, durably.
fn write_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let file_error = |error| write_error(&path.display().to_string(), error);
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(file_error)?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out)?;
    let file = out.into_inner().map_err(|error| file_error(error.into_error()))?;
    file.sync_all().map_err(file_error)?;
    Ok(written)
}

fn report_value(report: &SalvageReport) -> Value {
    let run_value = |run: &SalvagedRun| {
        object([
            ("run", text(&run.id)),
            ("name", run.name.as_ref().map_or(Value::Null, text)),
            ("outcome", text(&run.outcome)),
            ("version", tagged_number(run.version.0)),
            ("known_version", tagged_number(run.known.0)),
            ("stopped", run.stopped.as_ref().map_or(Value::Null, damage_value)),
            ("doubt", run.doubt.as_ref().map_or(Value::Null, damage_value)),
            ("confirmed", Value::Bool(run.is_confirmed)),
            ("file", run.file.as_ref().map_or(Value::Null, text)),
            ("lines", tagged_number(run.lines)),
        ])
    };
    object([
        ("format", Value::Int(1)),
        ("store", text(&report.store)),
        ("segments", tagged_number(report.segments)),
        ("records", tagged_number(report.records)),
        ("damage", Value::Array(report.damage.iter().map(damage_value).collect())),
        ("runs", Value::Array(report.runs.iter().map(run_value).collect())),
    ])
}

fn damage_value(damage: &Damage) -> Value {
    let Damage { file, offset, reason } = damage;
    object([("file", text(&file.display())), ("offset", tagged_number(*offset)), ("reason", text(reason))])
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

fn text(text: &(impl fmt::Display + ?Sized)) -> Value {
    Value::String(text.to_string())
}

/// Refuses a directory that holds something, and one that lies in the store or would.
fn check_target(store: &Path, into: &Path) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::InvalidArgument, format!("{} {why}: give a new directory", into.display())))
    };
    match fs::read_dir(into) {
        Ok(entries) => {
            if entries.count() > 0 {
                return refuse("is not empty");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return refuse("is no directory"),
        Err(error) => return Err(write_error("the directory", error)),
    }
    // A store that is not there is told of by whoever looks for it.
    let Ok(store) = fs::canonicalize(store) else { return Ok(()) };
    if into.components().any(|part| part == Component::ParentDir) && !into.exists() {
        return refuse("goes up by `..` and is not there yet");
    }
    let absolute = std::path::absolute(into).map_err(|error| write_error("the directory", error))?;
    let existing = absolute.ancestors().find_map(|above| fs::canonicalize(above).ok());
    match existing.is_some_and(|existing| existing.starts_with(&store)) {
        true => refuse("lies in the store"),
        false => Ok(()),
    }
}

fn create_target(into: &Path) -> Result<()> {
    fs::create_dir_all(into).map_err(|error| write_error("the directory", error))
}
