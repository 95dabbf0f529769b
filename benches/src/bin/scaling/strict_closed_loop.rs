//! One client a shard, each write on stable storage before the next.

use std::path::Path;
use std::time::Duration;

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::clients::closed_loops;
use strata_benches::figure::Setting;
use strata_benches::placement::Placement;
use strata_benches::raw_log::RawLog;
use strata_benches::report::Report;
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};

use crate::speed_up::{self, ONE_SHARD, Question, Round};

const KEY_COUNT: usize = 1000;
/// Commits before the first round, after which the segments of a log have their full size.
const WARM_UP: Duration = Duration::from_secs(4);
/// Size of each plain file.
const FILE_SIZE: u64 = 16 << 20;

/// Measures Strict with one closed-loop client a shard beside raw files in parallel.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let question = Question {
        name: "put_strict_disjoint_runs_closed_loop".to_string(),
        unit: "commits/s",
        limit: "raw durable 4 KiB appends to as many files",
        one: ONE_SHARD,
        least: |shards| (shards == 2).then_some(1.7),
    };
    if !arguments.wants(&question.name) {
        return;
    }
    let directory = tempfile::tempdir_in(&arguments.dir).expect("there is a place for plain files");
    let most = arguments.shards.iter().copied().max().unwrap_or(1);
    let mut files = raw_files(directory.path(), most);
    let length = arguments.pick(Duration::from_millis(100), Duration::from_millis(50));
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let store = Store::create(&arguments.dir, Durability::Strict, most).expect("a new store opens");
    let mut runs: Vec<RunHandle> =
        (0..most).map(|shard| store.run_on(shard).expect("a new store takes a run")).collect();
    let mut put_for = |length: Duration, shards: usize| {
        closed_loops(length, &mut runs[..shards], |run, index| {
            run.put(&keys[index % KEY_COUNT], value.as_str()).expect("a put is taken");
        })
    };
    put_for(arguments.pick(WARM_UP, length), most);
    let round = |shards: usize| {
        let limit = closed_loops(length, &mut files[..shards], |file, _| {
            file.append_block().expect("a plain file can be written");
        });
        let own = put_for(length, shards);
        let setting = Setting {
            mode: "strict",
            value_size: VALUE_SIZE,
            batch_size: 1,
            clients: shards,
            shards,
            placement: Placement::anywhere(),
        };
        Round { own, limit, setting }
    };
    speed_up::measure(arguments, &question, arguments.pick(41, 2), round, report);
}

fn raw_files(dir: &Path, count: usize) -> Vec<RawLog> {
    let file =
        |index| RawLog::create(dir, &format!("raw-{index}"), FILE_SIZE).expect("a plain file can be made");
    (0..count).map(file).collect()
}
