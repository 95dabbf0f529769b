//! A store of several logs on a simulated disk, driven as a shard drives it, and the oracle beside it.
#![allow(dead_code, unreachable_pub)] // every test file uses its own part

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;
use strata_wal::{
    AppendError, Appended, Log, LogMode, LogOptions, LogRecovery, Lsn, StoreDirectory, WalError, recover,
    scan,
};

/// Where the store lies.
pub const STORE: &str = "/data/strata.db";

/// Count of logs in the store.
pub const LOG_COUNT: u32 = 2;

/// What one log handed out at recovery: kind and body of every record.
pub type Records = Vec<(Lsn, u8, Vec<u8>)>;

/// Small batches and a sync by request or bytes only, so that a run is the same every time.
pub fn options(mode: LogMode) -> LogOptions {
    LogOptions {
        mode,
        sync_interval: Duration::from_secs(3600),
        unsynced_bytes_max: 16 * 1024,
        batch_size_max: 8 * 1024,
        ring: true,
    }
}

/// The points of a sweep: all of `count` with `STRATA_SWEEP=full`, with `STRATA_SWEEP=2/4` the second of four parts of them, else
/// a sample by a seed that is printed and can be given back as `STRATA_SWEEP_SEED`.
pub fn sweep(count: u64, sample: usize) -> Vec<u64> {
    if let Ok(sweep) = std::env::var("STRATA_SWEEP") {
        let part = if sweep == "full" { "1/1" } else { &sweep };
        let part = part.split_once('/').map(|(part, parts)| (part.parse::<u64>(), parts.parse::<usize>()));
        let Some((Ok(part @ 1..), Ok(parts @ 1..))) = part else {
            panic!("STRATA_SWEEP is `full` or a part, 2/4: {sweep}");
        };
        return (part - 1..count).step_by(parts).collect();
    }
    if count <= sample as u64 {
        return (0..count).collect();
    }
    let given = std::env::var("STRATA_SWEEP_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed: u64 = given.unwrap_or(now.as_millis() as u64);
    println!("STRATA_SWEEP_SEED={seed}: {sample} of {count} points");
    let mut random = Random(seed);
    (0..sample).map(|_| random.below(count)).collect()
}

/// A small generator of numbers (SplitMix64), so that a workload is the same every time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The body of record `index`: recognizable, of many lengths.
pub fn body(index: u64) -> Vec<u8> {
    let size = match index % 16 {
        0 => 0,
        15 => 60_000, // larger than a batch
        n => n as usize * 400,
    };
    let mut body = index.to_le_bytes().to_vec();
    body.extend_from_slice(&vec![index as u8 ^ 0x5a; size]);
    body
}

/// An open store.
pub struct Store {
    pub directory: StoreDirectory,
    pub logs: Vec<Log>,
    pub found: Vec<Records>,
    pub reports: Vec<LogRecovery>,
}

impl Store {
    pub fn open(disk: &SimDisk, options: &LogOptions) -> Result<Store, WalError> {
        Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options)
    }

    pub fn open_on(storage: Arc<dyn Storage>, path: &Path, options: &LogOptions) -> Result<Store, WalError> {
        let mut directory = StoreDirectory::open(storage, path, None, LOG_COUNT, 1_000_000)?;
        let (mut logs, mut found, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for log in 0..directory.log_count() {
            let mut records = Records::new();
            let (log, report) = recover(&directory.log_source(log), options.clone(), None, &mut |record| {
                records.push((record.lsn, record.kind, record.body.to_vec()));
                Ok(())
            })?;
            logs.push(log);
            found.push(records);
            reports.push(report);
        }
        let ends: Vec<_> = reports.iter().map(|report| report.end).collect();
        directory.begin_boot(&ends)?;
        Ok(Store { directory, logs, found, reports })
    }

    /// Appends as a shard does: ends the turn and serves requests while the log is stalled.
    pub fn append(&mut self, log: usize, kind: u8, body: &[u8]) -> Result<Appended, AppendError> {
        loop {
            match self.logs[log].append(kind, body) {
                Err(AppendError::Stalled) => self.turn(log).map_err(|_| AppendError::Failed)?,
                answer => return answer,
            }
        }
    }

    /// One turn: prepare what is asked for, write, take completions, write again.
    pub fn turn(&mut self, log: usize) -> Result<(), strata_wal::LogFailed> {
        let live = &mut self.logs[log];
        if let Some(request) = live.segment_request() {
            live.offer_segment(self.directory.prepare_segment(&request));
        }
        live.submit()?;
        live.reap()?;
        live.submit()
    }

    pub fn close(self) -> Result<(), String> {
        let mut ends = Vec::new();
        for log in self.logs {
            ends.push(log.close().map_err(|failed| failed.to_string())?);
        }
        self.directory.close(&ends).map_err(|error| error.to_string())
    }
}

/// Reads every log without repairing it.
pub fn read_only(disk: &SimDisk) -> Result<(Vec<Records>, Vec<LogRecovery>), WalError> {
    let directory = StoreDirectory::open_read_only(Arc::new(disk.clone()), Path::new(STORE), None)?;
    let (mut found, mut reports) = (Vec::new(), Vec::new());
    for log in 0..directory.log_count() {
        let mut records = Records::new();
        reports.push(scan(&directory.log_source(log), None, &mut |record| {
            records.push((record.lsn, record.kind, record.body.to_vec()));
            Ok(())
        })?);
        found.push(records);
    }
    Ok((found, reports))
}

/// What was promised so far, kept outside of the store.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Per log, the end of every record appended, in order: record `n` has the body `body(n)`.
    pub ends: Vec<Vec<Lsn>>,
    pub durable: Vec<Lsn>,
    pub written: Vec<Lsn>,
}

impl Oracle {
    pub fn new() -> Oracle {
        let count = LOG_COUNT as usize;
        Oracle {
            ends: vec![Vec::new(); count],
            durable: vec![Lsn::ZERO; count],
            written: vec![Lsn::ZERO; count],
        }
    }

    pub fn note(&mut self, store: &Store) {
        for (log, live) in store.logs.iter().enumerate() {
            self.durable[log] = live.durable_through();
            self.written[log] = live.written_through();
        }
    }

    /// The store holds a prefix of what was appended, and at least what was promised.
    pub fn check(&self, found: &[Records], promised: &[Lsn], story: &str) {
        for (log, records) in found.iter().enumerate() {
            for (index, (_, kind, bytes)) in records.iter().enumerate() {
                assert_eq!(*kind, kind_of(index as u64), "{story}: kind of record {index} of log {log}");
                assert!(*bytes == body(index as u64), "{story}: record {index} of log {log} is another one");
            }
            assert!(
                records.len() <= self.ends[log].len(),
                "{story}: log {log} holds records nobody appended"
            );
            let promised = self.ends[log].iter().filter(|end| **end <= promised[log]).count();
            assert!(
                records.len() >= promised,
                "{story}: log {log} holds {} records, {promised} were promised",
                records.len()
            );
        }
    }
}

/// The kind record `index` is appended with.
pub fn kind_of(index: u64) -> u8 {
    (index % 7) as u8
}

/// A mixed workload of `count` records over all logs: turns of many lengths, syncs by request, large records.
/// Stops at the first failure and says what it was.
pub fn work(store: &mut Store, oracle: &mut Oracle, count: u64) -> Result<(), AppendError> {
    let mut random = Random(7);
    for _ in 0..count {
        let log = random.below(u64::from(LOG_COUNT)) as usize;
        let index = oracle.ends[log].len() as u64;
        let appended = store.append(log, kind_of(index), &body(index));
        oracle.note(store);
        oracle.ends[log].push(appended?.end);
        match random.below(4) {
            0 => store.logs[log].request_sync(),
            1 => continue,
            _ => {}
        }
        let turned = store.turn(log);
        oracle.note(store);
        turned.map_err(|_| AppendError::Failed)?;
    }
    Ok(())
}
