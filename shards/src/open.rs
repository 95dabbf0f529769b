//! How the shards of a store are started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rand::RngCore;
use strata_primitives::{Durability, EntryRetention, Error, ErrorKind, Limits, Retention};
use strata_runtime::mailbox::{self, mailbox};
use strata_runtime::pinned::{Placement, spawn};
use strata_wal::disk::Disk;
use strata_wal::storage::Storage;
use strata_wal::{LOG_COUNT_MAX, LogEnd, LogMode, LogOptions, RECORD_BODY_SIZE_MAX, StoreDirectory};

use crate::boot::Boot;
use crate::clock::Clock;
use crate::cold_run::ImageShelf;
use crate::engine::{Engine, Running, closed_error};
use crate::held_checkpoint::Holds;
use crate::image_thread::ImageNews;
use crate::layers::Layers;
use crate::loader::Loader;
use crate::maintenance::{Delivery, Maintenance, Prepared};
use crate::message::{Control, Message};
use crate::report::{RecoveryReport, ShardRecovery};
use crate::resharding::reshard;
use crate::setup::Setup;
use crate::shard::Maintained;
use crate::shard_thread::{ShardDisk, ShardThread};
use crate::store_error::store_error;
use crate::value_reads::ValueReads;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where it lives; `None` keeps everything in memory.
    pub path: Option<PathBuf>,
    /// What a write is promised unless its run or call asks for more.
    pub durability: Durability,
    /// Only read what is there, and write nothing.
    pub is_read_only: bool,
    /// How many shards; `None` takes what the store has, or one less than there are CPUs. A store that has another number is
    /// given this one before it is served.
    pub shards: Option<usize>,
    /// How long a buffered commit may wait for stable storage.
    pub sync_interval: Duration,
    /// A closure that holds its shard longer than this is reported.
    pub execute_budget: Duration,
    /// Messages that wait for one shard; one more is refused.
    pub mailbox_capacity: usize,
    /// Whether each shard's thread stays on one CPU.
    pub pin: bool,
    /// Whether to use io_uring and direct I/O where the kernel and the file system have them.
    pub io_uring: bool,
    /// A checkpoint is worth at least so many bytes of log.
    pub checkpoint_log_size: u64,
    /// However little was written, a checkpoint is made so long after the last one.
    pub checkpoint_interval: Duration,
    /// How much memory the runs of all shards may take before some leave it, bytes.
    pub memory_budget: u64,
    /// How much history a run keeps that does not say so itself.
    pub retention: Retention,
    /// Which events and traces a run keeps that does not say so itself.
    pub entry_retention: EntryRetention,
    /// Whether what a transaction has read is kept with its commit.
    pub record_reads: bool,
    /// Whether the time of requests is measured where it goes.
    pub measure_layers: bool,
    /// What is refused for its size.
    pub limits: Limits,
    /// Where time comes from.
    pub clock: Clock,
    /// Where bytes go; `None` is the real disk.
    pub storage: Option<Arc<dyn Storage>>,
}

/// A log that is not durable further back than this starts a sync; bytes.
const UNSYNCED_SIZE_MAX: u64 = 1 << 20;
/// A batch of small commits is written when it reaches this size; bytes.
const BATCH_SIZE_MAX: usize = 256 << 10;
/// Most messages that a mailbox may be made for; their places are allocated at once.
const MAILBOX_CAPACITY_MAX: usize = 1 << 16;
/// Most shards of a store: what MANIFEST has room for.
const SHARDS_MAX: usize = LOG_COUNT_MAX as usize;

impl Engine {
    /// Opens or creates the store and starts its shards.
    ///
    /// # Errors
    /// `InvalidArgument` for options or a path that cannot be a store, `AlreadyOpen` while another
    /// process or another `Engine` has it, `Unsupported` for a newer format, or where a store that is only read has another
    /// number of shards, `Corrupt` for damage below what is proven durable, `Io` and `Full` for the disk.
    pub fn open(options: EngineOptions) -> Result<Engine, Error> {
        let started = Instant::now();
        check(&options)?;
        let Some(path) = &options.path else {
            let mut engine = open_in_memory(&options)?;
            engine.recovery.elapsed = started.elapsed();
            return Ok(engine);
        };
        let mut engine = open_on_disk(&options, path).inspect_err(|error| {
            tracing::error!(target: "strata", path = %path.display(), %error, "the store cannot be opened");
        })?;
        engine.recovery.elapsed = started.elapsed();
        engine.recovery.tell(path);
        Ok(engine)
    }
}

fn open_on_disk(options: &EngineOptions, path: &Path) -> Result<Engine, Error> {
    let disk = if options.io_uring { Disk::new } else { Disk::without_ring };
    let storage = options.storage.clone().unwrap_or_else(|| Arc::new(disk()));
    let wanted = options.shards.map(|count| count as u32);
    let now = options.clock.now().0;
    let default = default_shard_count() as u32;
    let directory = match options.is_read_only {
        true => StoreDirectory::open_read_only(storage, path, wanted),
        false => StoreDirectory::open(storage, path, wanted, default, now),
    };
    let directory = directory.map_err(store_error)?;
    let (directory, found) = match wanted {
        Some(wanted) if wanted != directory.log_count() => {
            let (directory, found) = reshard(directory, options, path, wanted)?;
            (directory, Some(found))
        }
        _ => (directory, None),
    };
    let mut engine = start(directory, options, false)?;
    if let Some(RecoveryReport { was_clean, shards, .. }) = found {
        (engine.recovery.was_clean, engine.recovery.replaced) = (was_clean, shards);
    }
    Ok(engine)
}

/// Starts the shards of a store, as many as it has logs. A quiet store writes nothing that nobody asks for.
pub(crate) fn start(
    mut directory: StoreDirectory,
    options: &EngineOptions,
    is_quiet: bool,
) -> Result<Engine, Error> {
    let count = directory.log_count();
    let lock = directory.take_lock();
    let (created, was_clean) = (directory.was_created(), directory.describe().is_clean);

    // Nobody who has an errand may be refused or wait for others, so its number bounds itself: each shard has one segment, one image and
    // few questions under way, puts away once an image, and all who let a checkpoint go tell so once.
    let (errands, errands_in) = unbounded();
    let mut start = Start::new(options, count as usize, is_quiet);
    start.engine.running_mut().lock = lock;
    for (index, log) in directory.logs().enumerate() {
        let index = index as u32;
        let ((segments, segments_in), (images, images_in)) = (bounded(1), unbounded());
        let ((loads, requests), (loaded, loaded_in)) = (unbounded(), unbounded());
        let errands = errands.clone();
        let maintained = Maintained {
            errands: errands.clone(),
            segments: segments_in,
            images: images_in,
            loads,
            loaded: loaded_in,
        };
        let source = directory.log_source(log);
        let value_reads: Arc<ValueReads> = Arc::default();
        let shelf = ImageShelf::counting(source.clone(), start.hash_seed, Arc::clone(&value_reads));
        let disk = ShardDisk { source, options: log_options(options), maintained, value_reads };
        let shard = start.shard(index, Some(disk), Some((segments, images)))?;
        let mode = log_options(options).mode;
        let loader = Loader { log, index, mode, shelf, requests, loaded, errands, shard };
        let thread = std::thread::Builder::new().name(format!("strata-loader-{index}"));
        let thread = thread.spawn(move || loader.run()).map_err(thread_error)?;
        start.engine.running_mut().threads.push(thread);
    }
    let recovered = start.wait()?;
    let ends: Vec<LogEnd> = recovered.iter().map(|recovery| recovery.log.end).collect();
    let boot = match options.is_read_only {
        true => directory.boot().max(1),
        false => directory.begin_boot(&ends).map_err(store_error)?,
    };
    let unclean_through = directory.unclean_through();
    let Start { mut engine, deliveries, .. } = start;
    let (errands_out, writers) = (errands.clone(), Vec::new());
    let (deferred, archives, left) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let holds = engine.holds.clone();
    let maintenance = Maintenance {
        directory,
        errands: errands_in,
        errands_out,
        deliveries,
        writers,
        holds,
        deferred,
        archives,
        left,
    };
    let keeper = std::thread::Builder::new()
        .name("strata-maintenance".to_string())
        .spawn(move || maintenance.run())
        .map_err(thread_error)?;
    engine.running_mut().maintenance = Some((errands, keeper));
    let (shards, replaced, elapsed) = (recovered, Vec::new(), Duration::ZERO);
    engine.recovery = RecoveryReport { created, boot, was_clean, shards, replaced, elapsed };
    engine.begin(Boot { number: boot, unclean_through })?;
    Ok(engine)
}

fn open_in_memory(options: &EngineOptions) -> Result<Engine, Error> {
    let count = options.shards.unwrap_or_else(default_shard_count);
    let mut start = Start::new(options, count, false);
    for index in 0..count {
        start.shard(index as u32, None, None)?;
    }
    start.wait()?;
    start.engine.begin(Boot { number: 1, unclean_through: 0 })?;
    Ok(start.engine)
}

/// What a shard's thread tells when it has recovered, or could not.
type Opened = Result<Option<ShardRecovery>, Error>;

/// An engine whose shards are being started. Dropping it ends those that run.
struct Start<'a> {
    options: &'a EngineOptions,
    setup: Arc<Setup>,
    hash_seed: usize,
    engine: Engine,
    deliveries: Vec<Delivery>,
    opened: (Sender<Opened>, Receiver<Opened>),
}

impl<'a> Start<'a> {
    fn new(options: &'a EngineOptions, count: usize, is_quiet: bool) -> Start<'a> {
        let setup = Setup {
            durability: options.durability,
            is_read_only: options.is_read_only,
            is_quiet,
            is_on_disk: options.path.is_some(),
            limits: options.limits.clone(),
            clock: options.clock.clone(),
            execute_budget: options.execute_budget,
            checkpoint_log_size: options.checkpoint_log_size,
            checkpoint_interval: options.checkpoint_interval,
            memory_budget: (options.memory_budget / count as u64) as usize,
            retention: options.retention,
            entry_retention: options.entry_retention,
            record_reads: options.record_reads,
            measure_layers: options.measure_layers,
        };
        let placement = options.pin.then(|| Placement::claim(count));
        let recovery = RecoveryReport {
            created: true,
            boot: 1,
            was_clean: true,
            shards: Vec::new(),
            replaced: Vec::new(),
            elapsed: Duration::ZERO,
        };
        let engine = Engine {
            shards: Vec::with_capacity(count),
            running: Mutex::new(Some(Running { placement, ..Running::default() })),
            recovery,
            process: strata_runtime::process_number(),
            clock: options.clock.clone(),
            is_read_only: options.is_read_only,
            layers: options.measure_layers.then(|| Layers::of(count)),
            holds: Holds::default(),
            compacting: Mutex::new(()),
            importing: Mutex::new(()),
        };
        Start {
            options,
            setup: Arc::new(setup),
            hash_seed: rand::rng().next_u64() as usize,
            engine,
            deliveries: Vec::with_capacity(count),
            opened: bounded(count),
        }
    }

    fn shard(
        &mut self,
        index: u32,
        disk: Option<ShardDisk>,
        deliveries: Option<(Sender<Prepared>, Sender<ImageNews>)>,
    ) -> Result<mailbox::Sender<Message>, Error> {
        let (sender, mailbox) = mailbox(self.options.mailbox_capacity).map_err(thread_error)?;
        if let Some((segments, images)) = deliveries {
            self.deliveries.push(Delivery { segments, images, mailbox: sender.clone() });
        }
        let thread = ShardThread {
            index,
            setup: Arc::clone(&self.setup),
            mailbox,
            disk,
            hash_seed: self.hash_seed,
            boot: Boot::default(),
        };
        let opened = self.opened.0.clone();
        let running = self.engine.running_mut();
        let cpu = running.placement.as_ref().and_then(|placement| placement.cpu(index as usize));
        let name = format!("strata-shard-{index}");
        running.threads.push(spawn(&name, cpu, move || thread.run(&opened)).map_err(thread_error)?);
        self.engine.shards.push(sender.clone());
        Ok(sender)
    }

    /// Waits until every shard has recovered. The first failure is the answer.
    fn wait(&mut self) -> Result<Vec<ShardRecovery>, Error> {
        let mut recovered = Vec::new();
        for _ in 0..self.engine.shards.len() {
            recovered.extend(self.opened.1.recv().unwrap_or_else(|_| Err(closed_error()))?);
        }
        recovered.sort_by_key(|recovery| recovery.shard);
        Ok(recovered)
    }
}

impl Engine {
    pub(crate) fn running_mut(&mut self) -> &mut Running {
        let running = self.running.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        running.get_or_insert_with(Running::default)
    }

    fn begin(&self, boot: Boot) -> Result<(), Error> {
        for shard in 0..self.shards.len() {
            self.ask(shard, |reply| Message::Control(Control::Start(boot), reply))?;
        }
        Ok(())
    }
}

fn check(options: &EngineOptions) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    if let Some(count) = options.shards
        && !(1..=SHARDS_MAX).contains(&count)
    {
        return refuse(format!("a store has 1 to {SHARDS_MAX} shards, not {count}"));
    }
    if !(1..=MAILBOX_CAPACITY_MAX).contains(&options.mailbox_capacity) {
        let given = options.mailbox_capacity;
        return refuse(format!("a mailbox holds 1 to {MAILBOX_CAPACITY_MAX} messages, not {given}"));
    }
    if options.checkpoint_interval.is_zero() || options.checkpoint_log_size == 0 {
        return refuse("checkpoint_interval and checkpoint_log_size are above 0".to_string());
    }
    let EntryRetention { events, traces } = options.entry_retention;
    [options.retention, events, traces].into_iter().try_for_each(Retention::check)?;
    if options.sync_interval.is_zero() {
        return refuse("the sync interval is above 0: for a sync at every commit choose Strict".to_string());
    }
    let Limits { transaction_size_max, cause_size_max, .. } = options.limits;
    if transaction_size_max.saturating_add(cause_size_max) > RECORD_BODY_SIZE_MAX / 2 {
        return refuse(format!(
            "transaction_size_max and cause_size_max may be {} bytes together, not {transaction_size_max} and \
             {cause_size_max}",
            RECORD_BODY_SIZE_MAX / 2
        ));
    }
    match (&options.path, options.durability) {
        (Some(path), Durability::InMemory) => refuse(format!(
            "{} would be a store that stores nothing: use an in-memory database, or create single runs in memory",
            path.display()
        )),
        _ => Ok(()),
    }
}

fn log_options(options: &EngineOptions) -> LogOptions {
    LogOptions {
        mode: if options.durability == Durability::Strict { LogMode::Direct } else { LogMode::Buffered },
        sync_interval: options.sync_interval,
        unsynced_bytes_max: UNSYNCED_SIZE_MAX,
        batch_size_max: BATCH_SIZE_MAX,
        ring: options.io_uring,
    }
}

fn default_shard_count() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| (cpus.get() - 1).clamp(1, SHARDS_MAX))
}

fn thread_error(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start the store's threads: {error}")).with_source(error)
}
