//! Archives: what is written is read, from the beginning or from any state on, and nothing is taken for it that is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::storage::{Access, Storage};
use strata_wal::{ArchiveReader, ArchiveSummary, ArchiveWriter, Archived, GroupId, StoreId, WalError};

fn path() -> PathBuf {
    PathBuf::from("/archives/one.arc")
}

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new("/archives")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// Two stretches: a state under 3 and two records, and, behind a record that leads nowhere, a state under 9 in two slices.
fn write(disk: &SimDisk) -> Result<ArchiveSummary, WalError> {
    let store = StoreId(*b"0123456789abcdef");
    let mut writer = ArchiveWriter::create(Arc::new(disk.clone()), &path(), store, 77)?;
    writer.begin_state(GroupId([1; 16]), 3);
    writer.append_slice(b"three")?;
    writer.append_record(b"to four", Some(4))?;
    writer.append_record(b"to five", Some(5))?;
    writer.append_record(b"to nine", None)?;
    writer.begin_state(GroupId([2; 16]), 9);
    writer.append_slice(b"nine")?;
    writer.append_slice(b"nine, too")?;
    assert_eq!(writer.through(), 9);
    writer.finish()
}

fn read(disk: &SimDisk) -> Result<Vec<String>, WalError> {
    let reader = ArchiveReader::open(disk, &path())?;
    let mut found = Vec::new();
    reader.read_all(&mut |_, archived| {
        found.push(shown(archived));
        Ok(())
    })?;
    Ok(found)
}

fn shown(archived: Archived<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match archived {
        Archived::Slice(slice, is_first) => format!("{} {is_first}", text(slice)),
        Archived::Record(body) => text(body),
    }
}

const ALL: [&str; 6] = ["three true", "to four", "to five", "to nine", "nine true", "nine, too false"];

fn put(disk: &SimDisk, bytes: &[u8]) {
    let _ = disk.remove(&path());
    disk.open(&path(), Access::Create).unwrap().write_at(bytes, 0).unwrap();
}

#[test]
fn what_is_written_is_read_as_a_whole_and_from_any_state_on() {
    let disk = disk(1);
    let summary = write(&disk).unwrap();
    assert_eq!(read(&disk).unwrap(), ALL);
    let reader = ArchiveReader::open(&disk, &path()).unwrap();
    assert_eq!(reader.summary(), summary);
    assert_eq!((summary.states, summary.records), (2, 3));
    assert_eq!(summary.bytes, disk.bytes(&path()).len() as u64);
    assert_eq!(summary.digest, *blake3::hash(&disk.bytes(&path())[..summary.bytes as usize - 80]).as_bytes());
    let from = |number| reader.state_before(number).map(|state| (state.number, state.group.0[0]));
    assert_eq!([2, 3, 5, 6, 8].map(from), [None, Some((3, 1)), Some((3, 1)), None, None]);
    assert_eq!([9, 10].map(from), [Some((9, 2)), None]);
    let mut found = Vec::new();
    let state = reader.state_before(9).unwrap();
    reader
        .read_from(state.offset, &mut |_, archived| {
            found.push(shown(archived));
            Ok(found.len() < 2)
        })
        .unwrap();
    assert_eq!(found, ALL[4..]);
    assert!(matches!(write(&disk), Err(WalError::Unsupported { .. })), "an archive replaces nothing");
}

#[test]
fn every_flipped_bit_of_an_archive_and_every_cut_is_noticed() {
    let disk = disk(2);
    write(&disk).unwrap();
    let whole = disk.bytes(&path());
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        put(&disk, &damaged);
        assert!(matches!(read(&disk), Err(WalError::Corrupt { .. })), "bit {bit} was flipped unnoticed");
    }
    for cut in 0..whole.len() {
        put(&disk, &whole[..cut]);
        assert!(matches!(read(&disk), Err(WalError::Corrupt { .. })), "it was cut at {cut} unnoticed");
    }
    put(&disk, &[&whole[..], &[0; 8]].concat());
    assert!(matches!(read(&disk), Err(WalError::Corrupt { .. })));
    put(&disk, &whole);
    assert_eq!(read(&disk).unwrap(), ALL);
}

#[test]
fn whatever_fails_an_archive_is_whole_or_not_there() {
    let whole = disk(3);
    write(&whole).unwrap();
    for point in 1..=whole.points() {
        for kind in [FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn, FaultKind::PowerCut] {
            for forever in [false, true] {
                let disk = disk(point);
                disk.set_faults(if forever {
                    Faults::forever(point, kind)
                } else {
                    Faults::once(point, kind)
                });
                let written = write(&disk);
                let after = if kind == FaultKind::PowerCut { disk.power_cycle(point) } else { disk.kill() };
                let story = format!("{kind:?} at {point}, for ever: {forever}");
                match read(&after) {
                    Ok(found) => assert_eq!(found, ALL, "{story}"),
                    Err(WalError::Io { .. }) => assert!(written.is_err(), "it was promised: {story}"),
                    Err(error) => panic!("{error}: {story}"),
                }
                let others = after.files().into_iter().filter(|file| *file != path()).count();
                assert!(
                    others == 0 || forever || kind == FaultKind::PowerCut,
                    "{:?}: {story}",
                    after.files()
                );
            }
        }
    }
}

/// Both were written to the same file, and the first that was finished named what the other had written by then.
#[test]
fn of_two_archives_on_their_way_to_one_place_the_first_is_whole_and_the_other_refused() {
    let disk = disk(4);
    let begin = |number: u8| {
        let mut writer =
            ArchiveWriter::create(Arc::new(disk.clone()), &path(), StoreId([number; 16]), 1).unwrap();
        writer.begin_state(GroupId([number; 16]), 1);
        writer.append_slice(b"state").unwrap();
        writer
    };
    let (first, other) = (begin(1), begin(2));
    first.finish().unwrap();
    assert_eq!(read(&disk).unwrap(), ["state true"]);
    assert!(matches!(other.finish(), Err(WalError::Unsupported { .. })));
    assert_eq!(ArchiveReader::open(&disk, &path()).unwrap().states()[0].group, GroupId([1; 16]));
    assert_eq!(disk.files(), [path()]);
}
