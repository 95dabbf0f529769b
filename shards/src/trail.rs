//! The way back through the records of a run.
//!
//! Every record names the one before it. The first of every 64 commits is a milestone, and names two earlier milestones as
//! well: the one before it, and, as number `m` of the run, the one with the lowest bit of `m` taken away (the tree of Fenwick, "A new
//! data structure for cumulative frequency tables", 1994). So a commit is reached from any later one over a number of records
//! that grows with the square of the logarithm of what lies between, and at most 64 more at either end.

use strata_primitives::Version;

use crate::record::{Milestone, RecordPlace};

/// What a run knows of its own records, beside where the newest one stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trail {
    /// Bytes of all of them.
    pub(crate) size: u64,
    /// The milestones that a later one may name, oldest first, by their numbers. The first record is always among them.
    pub(crate) milestones: Vec<(u64, RecordPlace)>,
}

/// How many commits are between two milestones.
const COMMITS_OF_A_MILESTONE: u64 = 64;

impl Trail {
    /// The first record there ever was.
    pub(crate) fn begins(&self) -> RecordPlace {
        self.milestones.first().map_or_else(RecordPlace::default, |(_, place)| *place)
    }

    /// What the record of a commit names, behind the one of the commit `before`, when it is a milestone.
    pub(crate) fn milestone(&self, before: Version, version: Version) -> Option<Milestone> {
        let (last, near) = self.milestones.last().filter(|_| is_milestone(before, version))?;
        let far = self.milestones.iter().rev().find(|(earlier, _)| *earlier <= target(last + 1));
        far.map(|(_, far)| Milestone { near: *near, far: *far })
    }

    /// Takes note of the next record, behind the one of the commit `before`.
    pub(crate) fn pass(&mut self, before: Version, version: Version, place: RecordPlace, size: usize) {
        self.size += size as u64;
        match self.milestones.last() {
            None => self.milestones.push((0, place)),
            Some((last, _)) if is_milestone(before, version) => {
                let number = last + 1;
                // No later one names what lies between.
                let keeps = self.milestones.partition_point(|(earlier, _)| *earlier <= target(number));
                self.milestones.truncate(keeps);
                self.milestones.push((number, place));
            }
            Some(_) => {}
        }
    }
}

/// Whether the record of a commit is a milestone. Commits that are not logged leave a gap, and then the record behind it is one.
fn is_milestone(before: Version, version: Version) -> bool {
    version.0 / COMMITS_OF_A_MILESTONE > before.0 / COMMITS_OF_A_MILESTONE
}

/// The number of the milestone that this one names as the far one, if that is there.
fn target(number: u64) -> u64 {
    number & (number - 1)
}

#[cfg(test)]
mod tests {
    use strata_wal::Lsn;

    use super::*;

    fn place(version: u64) -> RecordPlace {
        RecordPlace { log: 0, lsn: Lsn(version * 8) }
    }

    /// Of each commit the version before, and those its record names as a milestone, near and far.
    type Named = (u64, Option<(u64, u64)>);

    fn walked(versions: &[u64]) -> (Trail, Vec<Named>) {
        let (mut trail, mut records, mut before) = (Trail::default(), Vec::new(), 0);
        for version in versions {
            let milestone = trail.milestone(Version(before), Version(*version));
            let named = milestone.map(|Milestone { near, far }| (near.lsn.0 / 8, far.lsn.0 / 8));
            records.push((before, named));
            trail.pass(Version(before), Version(*version), place(*version), 10);
            before = *version;
        }
        (trail, records)
    }

    #[test]
    fn milestones_name_the_one_before_and_the_one_whose_number_lacks_their_lowest_bit() {
        let versions: Vec<u64> = (1..=64 * 13).collect();
        let (trail, records) = walked(&versions);
        let named: Vec<_> = records.iter().filter_map(|(_, named)| *named).collect();
        let nears: Vec<u64> = named.iter().map(|(near, _)| near / 64).collect();
        assert_eq!(nears, (0..13).collect::<Vec<_>>());
        let fars: Vec<u64> = named.iter().map(|(_, far)| far / 64).collect();
        assert_eq!(fars, [0, 0, 2, 0, 4, 4, 6, 0, 8, 8, 10, 8, 12]);
        assert_eq!(named[0], (1, 1), "the first record stands for number 0");
        assert!(
            records.iter().zip(&versions).all(|((_, named), version)| named.is_some() == (version % 64 == 0))
        );
        assert_eq!((trail.begins(), trail.size), (place(1), 64 * 13 * 10));
        let kept: Vec<u64> = trail.milestones.iter().map(|(number, _)| *number).collect();
        assert_eq!(kept, [0, 8, 12, 13]);
    }

    #[test]
    fn any_commit_is_reached_over_few_records() {
        let versions: Vec<u64> = (1..=200_000).collect();
        let (_, records) = walked(&versions);
        for wanted in [1, 2, 63, 64, 65, 4_096, 77_777, 131_072, 199_999, 200_000] {
            let (mut at, mut steps) = (200_000, 0);
            while at != wanted {
                let (before, named) = records[at as usize - 1];
                let (near, far) = named.unwrap_or((before, before));
                at = [far, near, before].into_iter().find(|back| *back >= wanted).unwrap();
                steps += 1;
            }
            assert!(steps < 64 + 64 + 60, "commit {wanted} is {steps} records away");
        }
    }

    #[test]
    fn commits_that_are_not_logged_leave_a_gap_and_the_way_goes_on() {
        let (_, records) = walked(&[1, 70, 71, 400, 401, 650]);
        let expected = [
            (0, None),
            (1, Some((1, 1))),
            (70, None),
            (71, Some((70, 1))),
            (400, None),
            (401, Some((400, 400))),
        ];
        assert_eq!(records, expected);
        let (late, _) = walked(&[700, 701, 770]);
        assert_eq!(late.begins(), place(700));
        // However large the gaps, few milestones are remembered.
        let far_apart: Vec<u64> = (1..10_000).map(|number| number * 128 + 64).collect();
        assert!(walked(&far_apart).0.milestones.len() <= 16);
    }
}
