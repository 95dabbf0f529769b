//! Taking a run out of a database with its history, and into another one.

use std::path::{Path, PathBuf};

use strata_primitives::{EntityRef, Error, ErrorKind};
use strata_shards::{ExportReport, ImportReport};

use crate::Result;
use crate::database::Database;
use crate::handle::RunHandle;

impl RunHandle {
    /// Writes the run, with all that is kept of its history, to one file: an *archive*, which needs nothing else and proves by itself
    /// that it is whole. Everything that was acknowledged before the call is in it; the database serves meanwhile, and this thread
    /// reads and writes. It begins with the earliest version of the run, as [`preview_retention`](Self::preview_retention) tells it;
    /// what the run inherited is in it from there on.
    ///
    /// The file appears whole or not at all. Until then the database keeps its files: a [`compact`](Database::compact) that ends
    /// meanwhile is told `Busy`. A crash may leave a file behind that begins with the name and ends in `.tmp`; it is nobody's.
    ///
    /// # Errors
    /// `NotFound` when the run does not exist; `Unsupported` for one that lives in memory, and when something lies at `path`; those of
    /// [`checkpoint`](Database::checkpoint), with which it begins, except in a database that is only read; `Corrupt`, `Full`, `Io`.
    ///
    /// ```
    /// use strata::{Database, Options, Reads, RunSpec, Version, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let (here, there, file) = (scratch.path().join("a"), scratch.path().join("b"), scratch.path().join("trip.arc"));
    /// let database = Database::open(&here, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// run.put("city", "Bergen")?;
    /// let exported = run.export(&file)?;
    /// assert_eq!((exported.version, exported.versions), (Version(3), 3));
    /// let other = Database::open(&there, Options::default())?;
    /// let imported = other.import(&file)?;
    /// assert_eq!(imported.id(), run.id());
    /// assert_eq!(imported.get("city")?.unwrap().value.as_str(), Some("Bergen"));
    /// assert_eq!(imported.at(Version(2))?.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # other.close()?;
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn export(&self, path: impl AsRef<Path>) -> Result<ExportReport> {
        let of_run = |error: Error| error.with_entity(EntityRef::run(self.id()));
        self.engine().export(self.id(), &absolute(path.as_ref())?).map_err(of_run)
    }
}

impl Database {
    /// Takes in the run of an archive: under its id and name, with every version that is in it, its events and their chain, its tags,
    /// its status, its retention, and the operation ids that it remembers. The archive is read and checked as a whole before anything
    /// changes, and a copy of it becomes a part of the database: the file itself is not needed any more.
    ///
    /// The import is one more commit of the run, behind those that came with it. An active run counts as begun now. Its retention
    /// counts for all its versions from then on; those it had inherited are its own here.
    ///
    /// # Errors
    /// `AlreadyExists` when the database has a run of this id, and with it of this name, or had one and has forks of it; `Corrupt` with
    /// file and offset when the archive is not as it was written; `Unsupported` for a newer format, for an in-memory database and for
    /// one that is only read; `Busy` while somebody looks at a deleted run of this id; `Full`, `Closed`, `Io`: nothing is imported then. After
    /// `LogFailed` it is unknown until the database is opened again.
    pub fn import(&self, path: impl AsRef<Path>) -> Result<RunHandle> {
        Ok(self.run(self.import_reported(path)?.run))
    }

    /// The same, and tells what was imported.
    ///
    /// # Errors
    /// Those of [`import`](Self::import).
    pub fn import_reported(&self, path: impl AsRef<Path>) -> Result<ImportReport> {
        self.engine().import(&absolute(path.as_ref())?)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let message = format!("{} is no path of a file: {error}", path.display());
        Error::new(ErrorKind::InvalidArgument, message)
    })
}
