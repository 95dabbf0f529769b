//! A store's directory: its lock, its MANIFEST, and the segments they name.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Instant;

use crate::creation::{Found, create_store, create_store_dir, manifest_path, survey};
use crate::error::WalError;
use crate::manifest::{LOG_COUNT_MAX, MANIFEST_FORMAT_VERSION, Manifest, SLOT_SIZE};
use crate::prepare::{PreparedSegment, SegmentRequest, create_segment, open_to_write};
use crate::report::{LogEnd, LogSummary, ManifestSummary};
use crate::segment::{SegmentHeader, segment_path, segments_dir};
use crate::slots::{Slots, read_slots};
use crate::source::{LogSource, SegmentRanges, open_segment};
use crate::storage::{Access, Capabilities, File, Lock, LockGuard, Storage};
use crate::store_id::StoreId;

/// An opened store: holds the owner's lock and keeps MANIFEST.
///
/// One thread owns it. The order of a boot is: [`open`](Self::open), [`log_source`](Self::log_source) and
/// `recover` for every log, [`begin_boot`](Self::begin_boot), then [`prepare_segment`](Self::prepare_segment) as
/// the logs ask, at last [`close`](Self::close). Dropping it without closing is a crash as far as the store can
/// tell, and loses nothing.
pub struct StoreDirectory {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) path: PathBuf,
    /// Open for writing; `None` when the store was opened to be read.
    file: Option<Arc<dyn File>>,
    pub(crate) slots: Slots,
    unclean_through: u64,
    was_created: bool,
    capabilities: Capabilities,
    fallback_warning: Arc<Once>,
    ranges: SegmentRanges,
    /// By log, the number of the newest image that was begun.
    pub(crate) begun_images: Vec<u64>,
    /// The first failed update of MANIFEST: what its slot holds is unknown from then on.
    failed: Option<String>,
    opened_micros: u64,
    opened_at: Instant,
    lock: Option<LockGuard>,
}

impl StoreDirectory {
    /// Opens the store at `path`, or creates one where there is nothing, with `wanted_logs` logs, or
    /// `default_logs` when the caller does not mind. One that is there has the logs it has.
    ///
    /// A directory that is empty, or holds only an unfinished creation, is created in. A foreign or newer one is
    /// refused before anything is written. `now_micros` is the time since the epoch.
    ///
    /// # Errors
    /// [`WalError::Unsupported`] when `wanted_logs` is out of range; otherwise as the variants of [`WalError`] say.
    pub fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        wanted_logs: Option<u32>,
        default_logs: u32,
        now_micros: u64,
    ) -> Result<StoreDirectory, WalError> {
        let log_count = wanted_logs.unwrap_or(default_logs);
        if !(1..=LOG_COUNT_MAX).contains(&log_count) {
            let reason = format!("a store has 1 to {LOG_COUNT_MAX} logs, {log_count} were asked for");
            return Err(WalError::Unsupported { reason });
        }
        if survey(&*storage, path)? == Found::Nothing {
            create_store_dir(&*storage, path)?;
        }
        let owner = format!("process {}, since {now_micros} us after the epoch", std::process::id());
        let lock = take_lock(storage.lock(&lock_path(path), &owner), path)?;
        // Looked at again: somebody else may have created the store between the first look and the lock.
        let was_created = survey(&*storage, path)? != Found::Store;
        if was_created {
            create_store(&*storage, path, log_count, now_micros)?;
        }
        StoreDirectory::open_locked(storage, path, lock, now_micros)
            .map(|opened| StoreDirectory { was_created, ..opened })
    }

    /// Opens a store that is there, for whom the lock is held.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_locked(
        storage: Arc<dyn Storage>,
        path: &Path,
        lock: LockGuard,
        now_micros: u64,
    ) -> Result<StoreDirectory, WalError> {
        let slots = read_slots(&*storage, path)?;
        let manifest = manifest_path(path);
        let file = storage.open(&manifest, Access::Write);
        let file = file.map_err(|error| WalError::io(&manifest, "open", error))?;
        let dir = segments_dir(path);
        let capabilities = storage.probe(&dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WalError::corrupt(&dir, 0, "the directory of the segments is missing"),
            _ => WalError::io(&dir, "probe", error),
        })?;
        let opened = Self::new(storage, path, Some(file), slots, capabilities, Some(lock));
        Ok(StoreDirectory { opened_micros: now_micros, ..opened })
    }

    /// Opens an existing store to look at it: repairs nothing, writes nothing, keeps writers out while it lasts
    /// where the lock file can be had.
    ///
    /// # Errors
    /// [`WalError::MissingStore`] when there is none, [`WalError::AlreadyOpen`] while somebody writes it,
    /// [`WalError::Unsupported`] when it has another number of logs than `wanted_logs`: it would have to be written.
    pub fn open_read_only(
        storage: Arc<dyn Storage>,
        path: &Path,
        wanted_logs: Option<u32>,
    ) -> Result<StoreDirectory, WalError> {
        if survey(&*storage, path)? != Found::Store {
            return Err(WalError::MissingStore { path: path.to_path_buf() });
        }
        let lock = match storage.lock_shared(&lock_path(path)) {
            Err(error) if is_read_only_place(&error) => None,
            answer => Some(take_lock(answer, path)?),
        };
        let slots = read_slots(&*storage, path)?;
        check_log_count(&slots, wanted_logs)?;
        let why = || Err("the store was opened to be read".to_string());
        let capabilities = Capabilities { direct: why(), ring: why() };
        Ok(Self::new(storage, path, None, slots, capabilities, lock))
    }

    fn new(
        storage: Arc<dyn Storage>,
        path: &Path,
        file: Option<Arc<dyn File>>,
        slots: Slots,
        capabilities: Capabilities,
        lock: Option<LockGuard>,
    ) -> StoreDirectory {
        let manifest = &slots.current;
        StoreDirectory {
            ranges: SegmentRanges::default(),
            begun_images: vec![0; manifest.logs.len()],
            unclean_through: if manifest.is_clean { manifest.unclean_through } else { manifest.boot },
            storage,
            path: path.to_path_buf(),
            file,
            slots,
            was_created: false,
            capabilities,
            fallback_warning: Arc::new(Once::new()),
            failed: None,
            opened_micros: 0,
            opened_at: Instant::now(),
            lock,
        }
    }

    /// Hands over what keeps other processes out, to whoever outlives all that writes to the store.
    pub fn take_lock(&mut self) -> Option<LockGuard> {
        self.lock.take()
    }

    /// Where its files are.
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }

    /// Identity of the store.
    pub fn id(&self) -> StoreId {
        self.slots.current.store
    }

    /// Count of logs.
    pub fn log_count(&self) -> u32 {
        self.slots.current.logs.len() as u32
    }

    /// The numbers of its logs: from 0 on, until the store is [given other logs](Self::take_logs).
    pub fn logs(&self) -> Range<u32> {
        self.slots.current.log_numbers()
    }

    /// Count of boots before this one; after [`begin_boot`](Self::begin_boot) the number of this one.
    pub fn boot(&self) -> u64 {
        self.slots.current.boot
    }

    /// Number of the last boot known not to have closed the store; 0 for none.
    pub fn unclean_through(&self) -> u64 {
        self.unclean_through
    }

    /// Whether [`open`](Self::open) created the store.
    pub fn was_created(&self) -> bool {
        self.was_created
    }

    /// Why MANIFEST can no longer be trusted to be what this handle thinks, if an update of it failed. The slot may
    /// name a segment that this handle does not know of, so nothing may be recovered by its word.
    pub fn failure(&self) -> Option<WalError> {
        self.failed.as_ref().map(|reason| WalError::Failed { reason: reason.clone() })
    }

    /// What the thread of the log with number `log` needs to recover it.
    ///
    /// # Panics
    /// If the store has no such log.
    pub fn log_source(&self, log: u32) -> LogSource {
        let manifest = &self.slots.current;
        LogSource {
            storage: Arc::clone(&self.storage),
            store_path: self.path.clone(),
            store: manifest.store,
            log,
            index: manifest.index_of(log) as u32,
            entry: manifest.entry(log).clone(),
            is_clean: manifest.is_clean,
            is_newest_slot: self.slots.damaged.is_none(),
            capabilities: self.capabilities.clone(),
            fallback_warning: Arc::clone(&self.fallback_warning),
            ranges: self.ranges.clone(),
            is_salvaged: false,
        }
    }

    /// Begins a boot, once every log is recovered: MANIFEST takes the recovered ends as proven durable and says
    /// "not closed" until [`close`](Self::close). Returns the number of the boot.
    ///
    /// # Panics
    /// If `ends` does not hold one end for every log.
    pub fn begin_boot(&mut self, ends: &[LogEnd]) -> Result<u64, WalError> {
        let mut next = self.slots.current.clone();
        // A clean slot that a log has outgrown is not the last that was written: that one is lost, and with it
        // the boot it announced, which never closed.
        let has_outgrown = ends.iter().any(|end| end.lsn > next.entry(end.log).end_lsn) && next.is_clean;
        if has_outgrown {
            next.boot += 1;
            self.unclean_through = next.boot;
        }
        next.boot += 1;
        next.unclean_through = self.unclean_through;
        next.is_clean = false;
        set_ends(&mut next, ends);
        let foreign = self.foreign_files()?;
        self.write(next)?;
        // Both slots name these logs now.
        if let Err(error) = self.remove_files(foreign) {
            tracing::warn!(target: "strata", %error, "files of logs that the store does not have stay");
        }
        Ok(self.boot())
    }

    /// Makes a segment ready: created, filled, synced, named. Call it ahead of need, it takes its time.
    ///
    /// # Errors
    /// [`WalError::NoSpace`] and any other error of the file itself leave nothing behind and may be tried again.
    /// A failed update of MANIFEST is final ([`WalError::Failed`] from then on): what its slot holds is unknown.
    ///
    /// # Panics
    /// If the request does not continue what MANIFEST names.
    pub fn prepare_segment(&mut self, request: &SegmentRequest) -> Result<PreparedSegment, WalError> {
        self.check_writable()?;
        let mut next = self.slots.current.clone();
        let (store, log_count) = (next.store, self.log_count());
        let entry = next.entry_mut(request.log);
        assert_eq!(request.number, entry.newest_segment + 1, "segments are numbered without gaps");
        assert_eq!(
            request.first_lsn,
            entry.newest_first_lsn.after(entry.newest_size),
            "segments follow each other"
        );
        let header = SegmentHeader {
            store,
            log: request.log,
            log_count,
            number: request.number,
            size: request.size,
            first_lsn: request.first_lsn,
            chain_seed: rand::random(),
            unsynced_bytes_max: request.unsynced_bytes_max,
            created_micros: self.opened_micros + self.opened_at.elapsed().as_micros() as u64,
        };
        let path = segment_path(&self.path, request.log, request.number);
        create_segment(&*self.storage, &self.path, &header)?;
        let synced = self.sync_dir(&segments_dir(&self.path));
        let named = synced.and_then(|()| open_to_write(&*self.storage, &path, request.access));
        let file = named.inspect_err(|_| {
            // What stays behind when this fails too is empty and unnamed: the next recovery removes it.
            let _ = self.storage.remove(&path);
        })?;
        entry.newest_segment = header.number;
        entry.newest_first_lsn = header.first_lsn;
        entry.newest_size = header.size;
        entry.durable_through = entry.durable_through.max(request.durable_through);
        // From here the file stays whatever happens: the slot may have reached the disk and name it.
        self.write(next)?;
        Ok(PreparedSegment { header, file })
    }

    /// Closes the store: MANIFEST remembers where every log ends, so that the next boot misses nothing, and segments that were
    /// prepared and not begun are given back.
    ///
    /// # Panics
    /// If `ends` does not hold one end for every log.
    pub fn close(mut self, ends: &[LogEnd]) -> Result<(), WalError> {
        let mut next = self.slots.current.clone();
        next.is_clean = true;
        set_ends(&mut next, ends);
        let spares = self.drop_spares(&mut next, ends);
        self.write(next)?;
        // What stays behind is empty and unnamed: the next recovery removes it.
        if spares.into_iter().filter(|spare| self.storage.remove(spare).is_ok()).count() > 0 {
            let _ = self.sync_dir(&segments_dir(&self.path));
        }
        tracing::info!(target: "strata", path = %self.path.display(), "the store is closed");
        Ok(())
    }

    /// Takes the segments that no record has reached out of what MANIFEST names, and tells which.
    fn drop_spares(&self, next: &mut Manifest, ends: &[LogEnd]) -> Vec<PathBuf> {
        let mut spares = Vec::new();
        for end in ends {
            let (source, entry) = (self.log_source(end.log), next.entry_mut(end.log));
            while entry.newest_first_lsn >= end.lsn && entry.newest_segment > entry.oldest_segment {
                let before = entry.newest_segment - 1;
                let path = segment_path(&self.path, end.log, before);
                // Where that cannot be read the spare stays: it costs space and no record.
                let Ok((header, _)) = open_segment(&source, &path, before) else { break };
                spares.push(segment_path(&self.path, end.log, entry.newest_segment));
                entry.newest_segment = before;
                (entry.newest_first_lsn, entry.newest_size) = (header.first_lsn, header.size);
            }
        }
        spares
    }

    /// What MANIFEST says, for people.
    pub fn describe(&self) -> ManifestSummary {
        let manifest = &self.slots.current;
        let logs = manifest.log_numbers().zip(&manifest.logs).map(|(log, entry)| LogSummary {
            log,
            oldest_segment: entry.oldest_segment,
            newest_segment: entry.newest_segment,
            durable_through: entry.durable_through,
            end: LogEnd { log, lsn: entry.end_lsn, chain: entry.end_chain },
            images: entry.images.into_iter().flatten().collect(),
        });
        ManifestSummary {
            format_version: MANIFEST_FORMAT_VERSION,
            store: manifest.store,
            created_micros: manifest.created_micros,
            generation: manifest.generation,
            boot: manifest.boot,
            unclean_through: self.unclean_through,
            is_clean: manifest.is_clean,
            damaged_slot: self.slots.damaged.clone(),
            logs: logs.collect(),
        }
    }

    pub(crate) fn check_writable(&self) -> Result<&dyn File, WalError> {
        match (&self.failed, &self.file) {
            (Some(reason), _) => Err(WalError::Failed { reason: reason.clone() }),
            (None, None) => Err(WalError::Unsupported { reason: "the store was opened to be read".into() }),
            (None, Some(file)) => Ok(&**file),
        }
    }

    /// Writes the older slot and syncs, then the other one: a crash leaves one of them whole, and once both are
    /// written either may be damaged without anything being forgotten.
    pub(crate) fn write(&mut self, mut next: Manifest) -> Result<(), WalError> {
        for _ in 0..2 {
            next.generation += 1;
            let offset = self.slots.next * SLOT_SIZE;
            let file = self.check_writable()?;
            let written = file.write_at(&next.encode(), offset as u64).and_then(|()| file.sync());
            if let Err(error) = written {
                let error = WalError::io(&manifest_path(&self.path), "update", error);
                tracing::error!(target: "strata", %error, "MANIFEST cannot be written: no segment and no image is named any more");
                self.failed = Some(error.to_string());
                return Err(error);
            }
            self.slots = Slots { current: next.clone(), next: 1 - self.slots.next, damaged: None };
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), WalError> {
        self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error))
    }
}

impl fmt::Debug for StoreDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoreDirectory").field("path", &self.path).finish_non_exhaustive()
    }
}

fn check_log_count(slots: &Slots, wanted: Option<u32>) -> Result<(), WalError> {
    let stored = slots.current.logs.len() as u32;
    match wanted.filter(|wanted| *wanted != stored) {
        None => Ok(()),
        Some(wanted) => {
            let reason =
                format!("the store has {stored} logs, and is to be opened to be written to get {wanted}");
            Err(WalError::Unsupported { reason })
        }
    }
}

pub(crate) fn lock_path(store: &Path) -> PathBuf {
    store.join("LOCK")
}

pub(crate) fn take_lock(answer: io::Result<Lock>, path: &Path) -> Result<LockGuard, WalError> {
    match answer.map_err(|error| WalError::io(&lock_path(path), "lock", error))? {
        Lock::Held(guard) => Ok(guard),
        Lock::Owned { owner } if owner.is_empty() => {
            Err(WalError::AlreadyOpen { owner: "a process that left no name".into() })
        }
        Lock::Owned { owner } => Err(WalError::AlreadyOpen { owner }),
    }
}

/// A copy on a medium that cannot be written has no lock file to share, and nobody who could write it.
pub(crate) fn is_read_only_place(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem)
}

fn set_ends(manifest: &mut Manifest, ends: &[LogEnd]) {
    assert_eq!(ends.len(), manifest.logs.len(), "every log has an end");
    for (log, end) in manifest.log_numbers().zip(ends) {
        assert_eq!(end.log, log, "ends are sorted by log");
        let entry = manifest.entry_mut(log);
        entry.durable_through = end.lsn;
        entry.end_lsn = end.lsn;
        entry.end_chain = end.chain;
    }
}
