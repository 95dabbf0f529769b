//! The limit of what is written: the bytes of a call at the end of a plain file, and nothing around them.

use std::path::Path;
use std::sync::Mutex;

use strata_benches::group_commit::GroupCommit;
use strata_benches::raw_log::{KernelLog, RawLog};

use crate::engine::{Ability, Engine, Promise, Session, Store};

/// Size of the plain file, which begins anew at its end.
const FILE_SIZE: u64 = 64 << 20;
/// Bytes of a record beside its key and value.
const RECORD_OVERHEAD: usize = 32;

/// A plain file.
pub(crate) struct BareLog;

impl Engine for BareLog {
    fn name(&self) -> &'static str {
        "raw log"
    }

    fn is_limit(&self) -> bool {
        true
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        match promise {
            Promise::Nothing => None,
            Promise::Kernel => Some("one `pwrite` a call"),
            Promise::Disk => Some("one durable write for all who wait, `O_DIRECT` where there is that"),
        }
    }

    fn can(&self, _ability: Ability) -> bool {
        false
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        Box::new(match promise {
            Promise::Disk => {
                let log = RawLog::create(dir, "raw", FILE_SIZE).expect("a plain file can be made");
                Open::Disk(GroupCommit::new(log))
            }
            _ => {
                let log = KernelLog::create(dir, "raw", FILE_SIZE).expect("a plain file can be made");
                Open::Kernel(Mutex::new(log))
            }
        })
    }
}

enum Open {
    Kernel(Mutex<KernelLog>),
    Disk(GroupCommit),
}

impl Store for Open {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        Box::new(Client { open: self, bytes: Vec::new() })
    }
}

struct Client<'a> {
    open: &'a Open,
    bytes: Vec<u8>,
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        self.bytes.clear();
        for key in keys {
            self.bytes.extend_from_slice(&[0x5a; RECORD_OVERHEAD]);
            self.bytes.extend_from_slice(key.as_bytes());
            self.bytes.extend_from_slice(value.as_bytes());
        }
        match self.open {
            Open::Kernel(log) => {
                let mut log = log.lock().expect("no client panics with the log");
                log.append(&self.bytes).expect("a plain file can be written");
            }
            Open::Disk(log) => log.commit(&self.bytes),
        }
    }
}
