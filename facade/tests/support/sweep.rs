//! A fault at every point of some work, or at a sample of these, another one every time. `STRATA_SWEEP=full` tries all,
//! `STRATA_SWEEP=2/4` the second of four parts of them.

use std::fmt;

use strata_wal::sim::{FaultKind, Faults, SimDisk};

use super::{Dice, is_segment};

pub(crate) const KINDS: [FaultKind; 4] =
    [FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn, FaultKind::PowerCut];

/// What happens at one point.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// At every point from there on too.
    forever: bool,
    point: u64,
    count: u64,
}

impl Fault {
    /// Has it happen, its point counted from now.
    pub(crate) fn arm(&self, disk: &SimDisk) {
        let at = disk.points() + self.point;
        disk.set_faults(if self.forever {
            Faults::forever(at, self.kind)
        } else {
            Faults::once(at, self.kind)
        });
    }

    pub(crate) fn cuts_power(&self) -> bool {
        self.kind == FaultKind::PowerCut
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, forever, point, count } = self;
        write!(formatter, "{kind:?} at {point} of {count}, for ever: {forever}")
    }
}

/// Whether a failed sync has dropped something of a log, so that a buffered store may have lost what it has acknowledged.
/// It is asked of a disk that has come to its end: a store that says that its log has not failed may fail the next moment.
pub(crate) fn log_has_lost(disk: &SimDisk) -> bool {
    disk.lost_files().iter().any(|path| is_segment(path))
}

/// Whether everything is to be tried.
pub(crate) fn is_full() -> bool {
    part() == Some((1, 1))
}

/// Which of how many parts of everything is to be tried, counted from 1; none for a sample.
fn part() -> Option<(u64, u64)> {
    let sweep = std::env::var("STRATA_SWEEP").ok()?;
    if sweep == "full" {
        return Some((1, 1));
    }
    let part =
        sweep.split_once('/').and_then(|(part, count)| Some((part.parse().ok()?, count.parse().ok()?)));
    let is_one = |(part, count): &(u64, u64)| (1..=*count).contains(part);
    Some(part.filter(is_one).unwrap_or_else(|| panic!("STRATA_SWEEP is `full` or a part, 2/4: {sweep}")))
}

/// Each kind, once and for ever, at every point or at every `stride`-th from a place of chance. Power is cut once.
pub(crate) fn faults<'a>(
    count: u64,
    stride: u64,
    kinds: &'a [FaultKind],
    dice: &mut Dice,
) -> impl Iterator<Item = Fault> + use<'a> {
    let (first, step) = part().unwrap_or_else(|| (1 + dice.below(stride), stride));
    println!("I/O points {first}, {} .. {count}", first + step);
    let at = move |point| {
        let both = kinds.iter().flat_map(move |kind| [(*kind, false), (*kind, true)]);
        let faults = both.map(move |(kind, forever)| Fault { kind, forever, point, count });
        faults.filter(|fault| !(fault.cuts_power() && fault.forever))
    };
    (first..=count).step_by(step as usize).flat_map(at)
}
