//! What is kept of the history of a run, and what is not any more.

use strata_primitives::{Retention, Stamp, Timestamp, Version};
use strata_wal::{ImagePlace, Lsn};

use crate::record::RecordPlace;
use crate::trail::Trail;

/// An image of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunImage {
    /// The number of the image file.
    pub(crate) file: u64,
    /// The slices in it.
    pub(crate) place: ImagePlace,
    /// The commit it shows the run at.
    pub(crate) stamp: Stamp,
    /// The record of that commit.
    pub(crate) record: RecordPlace,
    /// Bytes of all records of the run up to there.
    pub(crate) history_size: u64,
}

/// The part of a run's history that can be looked at.
///
/// A version is made from the newest image at it or before it, and the records between. So of an image that another takes the
/// place of some are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Retained {
    /// The oldest version that can be looked at; 0 when nothing was given up.
    pub(crate) floor: Version,
    /// Images that were the newest one once, oldest first.
    pub(crate) anchors: Vec<RunImage>,
}

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// What a policy asks for.
    Policy(Retention),
    /// Nothing: the run was deleted.
    Nothing,
}

/// An image is worth keeping when so many bytes of records would have to be applied without it, or so many records, and not
/// fewer bytes than it has itself.
const ANCHOR_DISTANCE: u64 = 16 << 20;
const ANCHOR_COMMITS: u64 = 10_000;

impl Retained {
    /// What is kept from now on, where `newest` is the newest image and took the place of `superseded`, `forked` are the
    /// versions that forks began as, the oldest first, and `begin` is the first one of its own of a fork.
    #[must_use]
    pub(crate) fn follow(
        &self,
        newest: &RunImage,
        superseded: Option<&RunImage>,
        keeping: Keeping,
        forked: &[Version],
        begin: Version,
        now: Timestamp,
    ) -> Retained {
        let mut anchors = self.anchors.clone();
        let candidate = superseded.filter(|image| image.stamp.version < newest.stamp.version);
        anchors.extend(candidate);
        let at_newest = newest.stamp.version;
        let wanted = match keeping {
            Keeping::Nothing => at_newest,
            Keeping::Policy(Retention::KeepAll) => Version::NEVER,
            Keeping::Policy(Retention::KeepLast(count)) => Version((at_newest.0 + 1).saturating_sub(count)),
            Keeping::Policy(Retention::KeepFor(duration)) => {
                let since = Timestamp(now.0.saturating_sub(duration.as_micros() as u64));
                let older = anchors.iter().chain([newest]).rev().find(|image| image.stamp.timestamp <= since);
                older.map_or(Version::NEVER, |image| image.stamp.version)
            }
        };
        // What a fork began as is kept for it, so where all of its own is kept nothing is given up.
        let floor = self.floor.max(if wanted <= begin { Version::NEVER } else { wanted });
        let oldest = forked.first().map_or(floor, |forked| *forked.min(&floor));
        // The newest one from which the oldest version can be made; what lies before it is of no use.
        let base = anchors.iter().rposition(|image| image.stamp.version <= oldest);
        match base {
            _ if at_newest <= oldest => anchors.clear(),
            Some(base) => drop(anchors.drain(..base)),
            None => {}
        }
        // What forks need below the floor is made over as long a way as what a run needs that keeps all.
        let keeping = if at_newest <= floor { Keeping::Policy(Retention::KeepAll) } else { keeping };
        // What the floor was made from stays as long as it is needed: records in front of it may be gone, but for those up to forks.
        if let Some((last, before)) = anchors.split_last()
            && candidate == Some(last)
            && last.stamp.version > oldest.max(self.floor)
            && !is_worth_keeping(last, before.last(), keeping, is_forked_from(last, newest, forked))
        {
            anchors.pop();
        }
        let mut retained = Retained { floor, anchors };
        retained.thin(newest, forked);
        retained
    }

    /// Drops the anchors below the floor from which no version is made: each of `forked` is made from the one nearest to it.
    fn thin(&mut self, newest: &RunImage, forked: &[Version]) {
        let nexts = self.anchors.iter().skip(1).chain([newest]).map(|image| image.stamp.version);
        let nexts: Vec<Version> = nexts.collect();
        let mut nexts = nexts.into_iter();
        let floor = self.floor;
        self.anchors.retain(|anchor| {
            let (from, next) = (anchor.stamp.version, nexts.next().expect("one comes behind each"));
            let first_behind = forked.partition_point(|forked| *forked < from);
            floor < next || forked.get(first_behind).is_some_and(|forked| *forked < next)
        });
    }

    /// The commits whose records are needed: of each stretch those behind the first version, up to the second.
    pub(crate) fn needed(&self, newest: &RunImage, forked: &[Version]) -> Vec<(Version, Version)> {
        let images = || self.anchors.iter().chain([newest]).rev().map(|image| image.stamp.version);
        let made_from = |version| images().find(|image| *image <= version).unwrap_or(Version::NEVER);
        let below = forked.iter().filter(|version| **version < self.floor);
        let stretches = below.map(|version| (made_from(*version), *version));
        stretches.chain([(made_from(self.floor), Version(u64::MAX))]).collect()
    }

    /// Takes over what a checkpoint has decided, while the run may have been deleted.
    pub(crate) fn take_over(&mut self, decided: Retained) {
        let floor = self.floor.max(decided.floor);
        *self = Retained { floor, anchors: decided.anchors };
    }

    /// Where the records begin in the log with this number without which not every version can be made; `None` when the newest image
    /// is all there is. Those of logs before come in front of all of it.
    pub(crate) fn needed_from(
        &self,
        log: u32,
        newest: &RunImage,
        forked: &[Version],
        trail: &Trail,
    ) -> Option<Lsn> {
        let oldest = forked.first().map_or(self.floor, |forked| *forked.min(&self.floor));
        if newest.stamp.version <= oldest {
            return None;
        }
        let base = self.anchors.iter().rev().find(|image| image.stamp.version <= oldest);
        let begins = base.map_or(trail.begins(), |base| base.record);
        Some(if begins.log == log { begins.lsn } else { Lsn::ZERO })
    }
}

/// Whether the image is the last one before a version that a fork began as.
fn is_forked_from(image: &RunImage, next: &RunImage, forked: &[Version]) -> bool {
    let behind = forked.partition_point(|forked| *forked < image.stamp.version);
    forked.get(behind).is_some_and(|forked| *forked < next.stamp.version)
}

/// Whether an image is far enough from the one kept before it, or from the beginning: or as far as pays, where a fork is made
/// from it.
fn is_worth_keeping(image: &RunImage, before: Option<&RunImage>, keeping: Keeping, is_forked: bool) -> bool {
    let records = image.history_size - before.map_or(0, |before| before.history_size);
    let commits = image.stamp.version.0 - before.map_or(0, |before| before.stamp.version.0);
    let is_needed_soon = match keeping {
        Keeping::Policy(Retention::KeepLast(count)) => commits >= count,
        Keeping::Policy(Retention::KeepFor(duration)) => before.is_none_or(|before| {
            let between = image.stamp.timestamp.0 - before.stamp.timestamp.0;
            u128::from(between) >= duration.as_micros()
        }),
        Keeping::Policy(Retention::KeepAll) | Keeping::Nothing => false,
    };
    let is_far = records >= ANCHOR_DISTANCE || commits >= ANCHOR_COMMITS || is_forked;
    is_needed_soon || (is_far && records >= image.place.size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The image of commit `version`, made at that many seconds, behind that many MiB of records.
    fn image(version: u64) -> RunImage {
        RunImage {
            file: version,
            place: ImagePlace { offset: 0, size: 100 },
            stamp: Stamp { version: Version(version), timestamp: Timestamp(version * 1_000_000) },
            record: RecordPlace { log: 0, lsn: Lsn(version * 8) },
            history_size: version << 20,
        }
    }

    fn trail() -> Trail {
        Trail { size: 0, milestones: vec![(0, RecordPlace { log: 0, lsn: Lsn(3) })] }
    }

    /// What a run that is no fork keeps from now on.
    fn follow(
        retained: &Retained,
        newest: &RunImage,
        superseded: Option<&RunImage>,
        keeping: Keeping,
        forked: &[Version],
        now: Timestamp,
    ) -> Retained {
        retained.follow(newest, superseded, keeping, forked, Version::NEVER, now)
    }

    /// What is kept behind images of these commits: the floor, the anchors, and from where on records are needed.
    fn kept(versions: &[u64], retention: Retention) -> (u64, Vec<u64>, Option<u64>) {
        let (mut retained, mut before) = (Retained::default(), None);
        for version in versions {
            let newest = image(*version);
            let now = Timestamp(newest.stamp.timestamp.0 + 500_000);
            retained = follow(&retained, &newest, before.as_ref(), Keeping::Policy(retention), &[], now);
            before = Some(newest);
        }
        let from = retained.needed_from(0, &before.unwrap(), &[], &trail()).map(|lsn| lsn.0);
        (retained.floor.0, retained.anchors.iter().map(|image| image.stamp.version.0).collect(), from)
    }

    #[test]
    fn of_a_run_that_keeps_all_one_image_in_16_mib_of_records_stays() {
        let versions: Vec<u64> = (1..=50).collect();
        assert_eq!(kept(&versions, Retention::KeepAll), (0, vec![16, 32, 48], Some(3)));
    }

    #[test]
    fn an_image_that_is_larger_than_the_records_before_it_is_not_worth_keeping() {
        let large = |version| RunImage { place: ImagePlace { offset: 0, size: 40 << 20 }, ..image(version) };
        let keeping = Keeping::Policy(Retention::KeepAll);
        let retained = follow(&Retained::default(), &image(30), Some(&large(20)), keeping, &[], Timestamp(0));
        assert_eq!(retained.anchors, []);
        let retained = follow(&Retained::default(), &image(50), Some(&large(41)), keeping, &[], Timestamp(0));
        assert_eq!(retained.anchors, [large(41)]);
    }

    #[test]
    fn the_last_commits_can_be_made_from_what_is_kept_and_little_more_is() {
        assert_eq!(kept(&[10, 20, 30], Retention::KeepLast(1)), (30, vec![], None));
        // Commit 26 is made from the image of 20.
        assert_eq!(kept(&[10, 20, 30], Retention::KeepLast(5)), (26, vec![20], Some(160)));
        let steps: Vec<u64> = (1..=100).collect();
        assert_eq!(kept(&steps, Retention::KeepLast(10)), (91, vec![90], Some(720)));
        assert_eq!(kept(&[3], Retention::KeepLast(10)), (0, vec![], Some(3)), "nothing is given up yet");
    }

    #[test]
    fn what_is_younger_than_the_duration_is_kept() {
        let steps: Vec<u64> = (1..=100).collect();
        let (floor, anchors, from) = kept(&steps, Retention::KeepFor(Duration::from_secs(10)));
        assert!((80..=90).contains(&floor), "{floor}");
        assert_eq!((anchors[0], from), (floor, Some(floor * 8)));
        assert!(anchors.len() <= 2, "{anchors:?}");
    }

    /// Once the floor was the newest image, and a fork of an older version was there. A compaction left no records in front of that image
    /// but those up to the fork, and the next checkpoint dropped it as not worth its bytes: all behind it was lost, forks too.
    #[test]
    fn records_that_were_not_needed_are_not_needed_later() {
        let mut random = 7_u64;
        let mut below = |count: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % count
        };
        for round in 0..2_000 {
            let (mut retained, mut newest) = (Retained::default(), image(1 + below(3)));
            let mut forked = Vec::new();
            let mut there: Vec<u64> = (1..=newest.stamp.version.0).collect();
            for _ in 0..30 {
                if below(3) == 0 {
                    let first = retained.floor.0.max(1);
                    forked.push(Version(first + below(newest.stamp.version.0 + 1 - first)));
                    forked.sort();
                } else if below(4) == 0 {
                    forked.pop();
                }
                let superseded = newest;
                newest = image(newest.stamp.version.0 + below(4));
                newest.place.size = [100, 40 << 20][below(2) as usize];
                there.extend(superseded.stamp.version.0 + 1..=newest.stamp.version.0);
                let retention = match below(3) {
                    0 => Retention::KeepAll,
                    1 => Retention::KeepLast(1 + below(8)),
                    _ => Retention::KeepFor(Duration::from_secs(below(8))),
                };
                let keeping = if below(20) == 0 { Keeping::Nothing } else { Keeping::Policy(retention) };
                retained =
                    follow(&retained, &newest, Some(&superseded), keeping, &forked, newest.stamp.timestamp);
                let needed = retained.needed(&newest, &forked);
                let is_needed =
                    |version: &u64| needed.iter().any(|(from, to)| (from.0 + 1..=to.0).contains(version));
                let missing =
                    (1..=newest.stamp.version.0).filter(is_needed).find(|version| !there.contains(version));
                assert_eq!(missing, None, "round {round}: {retained:?}, forks of {forked:?}");
                if below(4) == 0 {
                    there.retain(is_needed);
                }
            }
        }
    }

    #[test]
    fn time_alone_gives_up_what_lies_before_the_newest_image() {
        let keeping = Keeping::Policy(Retention::KeepFor(Duration::from_secs(10)));
        let retained = Retained { floor: Version(2), anchors: vec![image(2), image(8)] };
        let now = |seconds: u64| Timestamp(seconds * 1_000_000);
        assert_eq!(follow(&retained, &image(9), None, keeping, &[], now(12)), retained);
        let later = follow(&retained, &image(9), None, keeping, &[], now(18));
        assert_eq!(later, Retained { floor: Version(8), anchors: vec![image(8)] });
        let last = follow(&later, &image(9), None, keeping, &[], now(60));
        assert_eq!(last, Retained { floor: Version(9), anchors: vec![] });
    }

    #[test]
    fn a_fork_that_keeps_all_of_its_own_commits_gives_up_nothing_of_what_it_began_as() {
        let (keeping, begin) = (Keeping::Policy(Retention::KeepLast(2)), Version(30));
        let floor = |newest| {
            Retained::default().follow(&image(newest), None, keeping, &[], begin, Timestamp(0)).floor.0
        };
        assert_eq!([30, 31, 32].map(floor), [0, 0, 31]);
    }

    #[test]
    fn what_was_given_up_does_not_come_back() {
        let retained = Retained { floor: Version(26), anchors: vec![image(20)] };
        let keeping = Keeping::Policy(Retention::KeepAll);
        let after = follow(&retained, &image(31), Some(&image(30)), keeping, &[], Timestamp(0));
        assert_eq!(after, retained, "and the image from which the floor is made stays");
        assert_eq!(after.needed_from(0, &image(31), &[], &trail()), Some(Lsn(160)));
    }

    #[test]
    fn what_forks_began_as_is_kept_below_the_floor_and_nothing_between() {
        let (versions, stretch) = (
            |versions: &[u64]| versions.iter().copied().map(Version).collect::<Vec<_>>(),
            |from, to| (Version(from), Version(to)),
        );
        for keeping in [Keeping::Policy(Retention::KeepLast(1)), Keeping::Nothing] {
            let mut retained = Retained { floor: Version(20), anchors: vec![] };
            let forked = versions(&[20, 60]);
            for version in 21..=100 {
                let (newest, superseded) = (image(version), image(version - 1));
                // The second fork is made when the run is there.
                let forked = if version < 60 { &forked[..1] } else { &forked };
                retained = follow(&retained, &newest, Some(&superseded), keeping, forked, Timestamp(0));
            }
            let kept: Vec<u64> = retained.anchors.iter().map(|image| image.stamp.version.0).collect();
            assert_eq!((retained.floor.0, kept), (100, vec![20, 60]));
            assert_eq!(retained.needed_from(0, &image(100), &forked, &trail()), Some(Lsn(160)));
            assert_eq!(
                retained.needed(&image(100), &forked),
                [stretch(20, 20), stretch(60, 60), stretch(100, u64::MAX)]
            );
            let after =
                follow(&retained, &image(101), Some(&image(100)), keeping, &forked[1..], Timestamp(0));
            assert_eq!((after.anchors[0], after.anchors.len()), (image(60), 1), "an older fork has gone");
            let after = follow(&after, &image(102), Some(&image(101)), keeping, &[], Timestamp(0));
            assert_eq!((after.anchors.len(), after.needed_from(0, &image(102), &[], &trail())), (0, None));
        }
    }

    #[test]
    fn the_records_behind_the_image_that_the_floor_is_made_from_are_needed() {
        let retained = Retained { floor: Version(26), anchors: vec![image(20), image(40)] };
        let all = |from| vec![(Version(from), Version(u64::MAX))];
        assert_eq!(retained.needed(&image(50), &[]), all(20));
        assert_eq!(retained.needed(&image(50), &[Version(30)]), all(20), "that is needed anyway");
        assert_eq!(Retained::default().needed(&image(50), &[]), all(0));
        assert_eq!(Retained { floor: Version(50), anchors: vec![] }.needed(&image(50), &[]), all(50));
    }

    #[test]
    fn records_of_a_log_before_are_needed_in_front_of_all_of_the_log() {
        let retained = Retained { floor: Version(0), anchors: vec![image(20)] };
        let from = |log, floor| {
            Retained { floor: Version(floor), ..retained.clone() }.needed_from(log, &image(50), &[], &trail())
        };
        assert_eq!([from(0, 0), from(0, 30)], [Some(Lsn(3)), Some(Lsn(160))]);
        assert_eq!([from(4, 0), from(4, 30)], [Some(Lsn::ZERO); 2]);
        assert_eq!(from(4, 50), None, "the newest image is all there is");
    }

    #[test]
    fn nothing_is_kept_of_a_run_that_was_deleted() {
        let retained = Retained { floor: Version(0), anchors: vec![image(16)] };
        let after = follow(&retained, &image(31), Some(&image(30)), Keeping::Nothing, &[], Timestamp(0));
        assert_eq!(after, Retained { floor: Version(31), anchors: vec![] });
        assert_eq!(after.needed_from(0, &image(31), &[], &trail()), None);
    }
}
