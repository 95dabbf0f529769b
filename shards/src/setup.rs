//! What every shard of a store knows from the start.

use std::time::Duration;

use strata_primitives::{Durability, EntryRetention, Error, ErrorKind, Limits, Retention};

use crate::clock::Clock;

/// What every shard of a store knows from the start.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) durability: Durability,
    /// The store is only read: nothing is written, and shards have no logs.
    pub(crate) is_read_only: bool,
    /// Nobody is served: nothing is written to a log that nobody asks for.
    pub(crate) is_quiet: bool,
    /// Runs are loaded from files, and may be left there.
    pub(crate) is_on_disk: bool,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// A closure that holds its shard longer than this is reported.
    pub(crate) execute_budget: Duration,
    /// A checkpoint is worth at least so many bytes of log.
    pub(crate) checkpoint_log_size: u64,
    /// However little was written, a checkpoint is made so long after the last one.
    pub(crate) checkpoint_interval: Duration,
    /// How much memory a shard's runs may take before some leave, bytes.
    pub(crate) memory_budget: usize,
    /// How much history a run keeps that does not say so itself.
    pub(crate) retention: Retention,
    /// Which events and traces a run keeps that does not say so itself.
    pub(crate) entry_retention: EntryRetention,
    /// What a transaction has read is kept with its commit.
    pub(crate) record_reads: bool,
    /// Requests have a timeline.
    pub(crate) measure_layers: bool,
}

impl Setup {
    /// The refusal of what needs a log, where there is none.
    pub(crate) fn no_log(&self, what: &str) -> Error {
        let message = match self.is_read_only {
            true => format!("the store was opened to be read, and takes no {what}: open it to be written"),
            false => format!("an in-memory database takes no {what}: open a directory for that"),
        };
        Error::new(ErrorKind::Unsupported, message)
    }

    /// What a write is promised, from what its run chose and what its call asked for.
    pub(crate) fn promise(
        &self,
        run: Option<Durability>,
        call: Option<Durability>,
    ) -> Result<Durability, Error> {
        if self.durability == Durability::InMemory {
            return match run.max(call) {
                Some(asked) if asked > Durability::InMemory => Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("an in-memory database cannot promise {asked}: open a directory for that"),
                )),
                _ => Ok(Durability::InMemory),
            };
        }
        let run = match run {
            Some(Durability::InMemory) => Durability::InMemory,
            Some(chosen) => chosen.max(self.durability),
            None => self.durability,
        };
        match call {
            Some(call) if run == Durability::InMemory && call > run => Err(Error::new(
                ErrorKind::Unsupported,
                format!("a write to a run that lives in memory cannot be {call}: the run is never logged"),
            )),
            Some(call) if call < run => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("durability can only be raised: the run is {run}, the call asked for {call}"),
            )),
            call => Ok(call.unwrap_or(run)),
        }
    }
}
