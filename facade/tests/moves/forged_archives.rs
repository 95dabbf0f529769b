//! Archives that somebody made up, with sums and a digest that are right: they are refused, or taken for what they say, and nothing
//! panics over them later.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads, Retention,
    RunHandle, RunId, RunSpec, Timestamp, Version, Writes,
};
use strata_primitives::{ImageEntry, RunMeta};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;
use strata_wal::{ArchiveReader, ArchiveWriter, Archived, GroupId, StoreId};

use crate::support::contents::inherited;
use crate::support::versions::{change, disk, file, keep_all, open_at};
use crate::support::{Dice, number, options, seed};

/// What an archive has, one after the other.
#[derive(Clone, Debug)]
enum Part {
    /// A state of a group begins, under a number.
    State([u8; 16], u64),
    Slice(Vec<u8>),
    /// A record, and where it says that it leads to.
    Record(Vec<u8>, Option<u64>),
}

fn parts_of(disk: &SimDisk, path: &Path) -> Vec<Part> {
    let reader = ArchiveReader::open(disk, path).unwrap();
    let (mut states, mut through, mut parts) = (reader.states().iter(), 0, Vec::new());
    reader
        .read_all(&mut |_, archived| {
            match archived {
                Archived::Slice(slice, is_first) => {
                    if is_first {
                        let state = states.next().unwrap();
                        through = state.through;
                        parts.push(Part::State(state.group.0, state.number));
                    }
                    parts.push(Part::Slice(slice.to_vec()));
                }
                Archived::Record(body) => {
                    let version = u64::from_le_bytes(body[24..32].try_into().unwrap());
                    parts.push(Part::Record(
                        body.to_vec(),
                        Some(version).filter(|version| *version <= through),
                    ));
                }
            }
            Ok(())
        })
        .unwrap();
    parts
}

/// Writes an archive with these parts, whatever they are, with sums and a digest that are right.
fn forge(disk: &SimDisk, path: &Path, parts: &[Part]) {
    let _ = disk.remove(path);
    let mut writer = ArchiveWriter::create(Arc::new(disk.clone()), path, StoreId([7; 16]), 1).unwrap();
    for part in parts {
        match part {
            Part::State(group, number) => writer.begin_state(GroupId(*group), *number),
            Part::Slice(slice) => writer.append_slice(slice).unwrap(),
            Part::Record(body, leads_to) => writer.append_record(body, *leads_to).unwrap(),
        }
    }
    writer.finish().unwrap();
}

/// The entries of a slice, each changed.
fn changed(slice: &[u8], change: &mut dyn FnMut(&mut ImageEntry)) -> Vec<u8> {
    let (mut rest, mut out) = (slice, Vec::new());
    while !rest.is_empty() {
        let mut entry = ImageEntry::decode(&mut rest).unwrap();
        change(&mut entry);
        entry.encode(&mut out);
    }
    out
}

/// Changes every description in the states of an archive.
fn with_meta(parts: &[Part], change: impl Fn(&mut RunMeta)) -> Vec<Part> {
    let of_part = |part: &Part| match part {
        Part::Slice(slice) => Part::Slice(changed(slice, &mut |entry| {
            if let ImageEntry::Head { meta: Some(meta), .. } = entry {
                change(meta)
            }
        })),
        part => part.clone(),
    };
    parts.iter().map(of_part).collect()
}

/// A disk with a store and an archive of a run in it, and what is in that.
fn prepared(seed: u64) -> (SimDisk, RunId, Vec<Part>) {
    let (disk, mut dice) = (disk(seed), Dice::new(seed));
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "first").unwrap();
    (0..40).for_each(|_| change(&run, &mut dice));
    let fork = run.fork().unwrap();
    fork.put("key", "of the fork").unwrap();
    (0..20).for_each(|_| change(&fork, &mut dice));
    fork.export(file("run.arc")).unwrap();
    let parts = parts_of(&disk, &file("run.arc"));
    (disk, fork.id(), parts)
}

/// Everything that is done with a run that was imported, as far as it goes.
fn use_all(disk: &SimDisk, database: Database, id: RunId, story: &str) {
    let work = |database: &Database| {
        let run = database.run(id);
        let Ok(Some(info)) = database.get_run(id) else { return };
        let _ = versions_quietly(&run, info.version.0);
        let _ = run.verify_chain();
        let _ = run.put("key", "again");
        let _ = run.put_with_ttl("short", 1, std::time::Duration::from_secs(9));
        let _ = run.append("step", 1);
        let fork = run.fork();
        if let Ok(fork) = &fork {
            let _ = fork.put("key", 1);
        }
        let _ = run.fork_at(Version(info.version.0 / 2)).map(|fork| fork.put("key", 1));
        let _ = run.erase(&EntityRef::kv(id, "key"), ErasedVersions::All, "because");
        let _ = run.erase(&EntityRef::event(id, 0), ErasedVersions::All, "because");
        let _ = run.preview_retention(Some(Retention::KeepLast(2)));
        let _ = database.checkpoint();
        let _ = versions_quietly(&run, info.version.0);
        let _ = database.compact(Compaction::Full);
        let _ = database.compact(Compaction::Full);
        let _ = disk.remove(&file("again.arc"));
        let _ = run.export(file("again.arc"));
        let _ = database.verify(|_| {});
        let _ = database.stats();
    };
    work(&database);
    let alive = database.create_run(RunSpec::default()).map(|run| run.put("alive", 1));
    assert!(matches!(alive, Ok(Ok(_))), "{alive:?}: {story}");
    drop(database);
    let database = open_at(disk, "to", keep_all(1));
    work(&database);
    let alive = database.create_run(RunSpec::default()).map(|run| run.put("alive", 1));
    assert!(matches!(alive, Ok(Ok(_))), "{alive:?}: {story}");
    let _ = database.run(id).delete_run();
    let _ = database.compact(Compaction::Full);
    let _ = database.import(file("forged.arc"));
    let alive = database.create_run(RunSpec::default()).map(|run| run.put("alive", 1));
    assert!(matches!(alive, Ok(Ok(_))), "{alive:?}: {story}");
}

fn versions_quietly(run: &RunHandle, newest: u64) -> usize {
    let newest = newest.min(200);
    let looks = |version: &u64| match run.at(Version(*version)) {
        // A value that cannot be read is told as such.
        Ok(was) => std::panic::catch_unwind(AssertUnwindSafe(|| inherited(&was))).is_ok(),
        Err(error) => {
            assert!(!error.message().contains("panicked"), "{error:?}");
            false
        }
    };
    (1..=newest).filter(looks).count()
}

fn refused(disk: &SimDisk, parts: &[Part]) -> Option<ErrorKind> {
    forge(disk, &file("forged.arc"), parts);
    let into = open_at(disk, "to", keep_all(1));
    let imported = into.import(file("forged.arc")).map(|run| run.id());
    let kind = imported.as_ref().err().map(|error| error.kind());
    if let Ok(id) = imported {
        use_all(disk, into, id, "forged");
    } else {
        let alive = into.create_run(RunSpec::default()).map(|run| run.put("alive", 1));
        assert!(matches!(alive, Ok(Ok(_))), "{alive:?}: {imported:?}");
        let data = disk.entries(Path::new("/agent/to/DATA")).unwrap_or_default();
        assert!(data.is_empty(), "{data:?}");
    }
    kind
}

#[test]
fn an_archive_of_a_run_that_lives_in_memory_is_refused() {
    let (disk, _, parts) = prepared(1);
    let forged = with_meta(&parts, |meta| meta.durability = Some(Durability::InMemory));
    assert_eq!(refused(&disk, &forged), Some(ErrorKind::Corrupt));
}

#[test]
fn a_version_behind_which_no_commit_has_room_is_refused() {
    for last in [u64::MAX - 1, u64::MAX] {
        let (disk, id, parts) = prepared(2);
        let Some(Part::Slice(slice)) = parts.iter().rfind(|part| matches!(part, Part::Slice(_))) else {
            panic!("it has a state")
        };
        let slice = changed(slice, &mut |entry| {
            if let ImageEntry::Head { stamp, .. } = entry {
                stamp.version = Version(last);
            }
        });
        let forged = [Part::State(*id.as_bytes(), last), Part::Slice(slice)];
        assert_eq!(refused(&disk, &forged), Some(ErrorKind::Corrupt), "{last}");
    }
}

#[test]
fn a_record_of_no_version_in_front_of_the_first_state_is_refused() {
    let (disk, _, mut parts) = prepared(3);
    let Some(Part::Record(body, _)) = parts.iter().find(|part| matches!(part, Part::Record(..))) else {
        panic!("it has a record")
    };
    let mut body = body.clone();
    body[24..32].fill(0);
    parts.insert(0, Part::Record(body, None));
    assert_eq!(refused(&disk, &parts), Some(ErrorKind::Corrupt));
}

#[test]
fn an_index_that_promises_versions_to_which_no_record_leads_is_refused() {
    let (disk, _, mut parts) = prepared(4);
    // The last record in front of the second state is left out, and the one before it says that it leads as far.
    let second =
        parts.iter().enumerate().filter(|(_, part)| matches!(part, Part::State(..))).nth(1).unwrap().0;
    let last = parts[..second].iter().rposition(|part| matches!(part, Part::Record(_, Some(_)))).unwrap();
    let Part::Record(_, leads_to) = parts.remove(last) else { unreachable!() };
    let Part::Record(_, before) = &mut parts[last - 1] else { panic!("a record comes before it") };
    *before = leads_to;
    assert_eq!(refused(&disk, &parts), Some(ErrorKind::Corrupt));
}

#[test]
fn the_end_of_time_and_a_retention_of_nothing_do_no_harm() {
    let (disk, id, parts) = prepared(5);
    let forged = with_meta(&parts, |meta| meta.retention = Some(Retention::KeepLast(0)));
    assert_eq!(refused(&disk, &forged), None);
    let (disk, _, parts) = prepared(5);
    let Some(Part::Slice(slice)) = parts.iter().rfind(|part| matches!(part, Part::Slice(_))) else {
        panic!("it has a state")
    };
    let mut last = 0;
    let slice = changed(slice, &mut |entry| {
        if let ImageEntry::Head { stamp, .. } = entry {
            stamp.timestamp = Timestamp(u64::MAX);
            last = stamp.version.0;
        }
    });
    assert_eq!(refused(&disk, &[Part::State(*id.as_bytes(), last), Part::Slice(slice)]), None);
}

#[test]
fn whatever_is_made_up_is_refused_or_taken_and_nothing_panics() {
    let mut dice = Dice::new(seed());
    let mut taken = 0;
    for round in 0..number("STRATA_CASES", 60) {
        let (disk, _, mut parts) = prepared(1 + round % 5);
        let mut story = format!("round {round}:");
        for _ in 0..1 + dice.below(2) {
            let at = dice.below(parts.len() as u64) as usize;
            match dice.below(12) {
                0 => drop(parts.remove(at)),
                1 => parts.insert(at, parts[dice.below(parts.len() as u64) as usize].clone()),
                _ => match &mut parts[at] {
                    Part::Slice(bytes) | Part::Record(bytes, _) => {
                        let byte = dice.below(bytes.len() as u64) as usize;
                        story += &format!(" part {at} byte {byte};");
                        match dice.below(3) {
                            0 => bytes[byte] ^= 1 << dice.below(8),
                            1 => bytes[byte] = dice.roll() as u8,
                            _ => {
                                let end = (byte + 8).min(bytes.len());
                                bytes[byte..end].fill(if dice.below(2) == 0 { 0xff } else { 0 });
                            }
                        }
                    }
                    Part::State(group, _) => group[0] ^= 1,
                },
            }
        }
        let written = std::panic::catch_unwind(|| forge(&disk, &file("forged.arc"), &parts));
        if written.is_err() {
            continue;
        }
        let into = open_at(&disk, "to", keep_all(1));
        match into.import(file("forged.arc")) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}: {story}"),
            Ok(run) => {
                taken += 1;
                let id = run.id();
                drop(run);
                use_all(&disk, into, id, &story);
            }
        }
    }
    println!("{taken} were taken");
}

/// A long run has more than one state in its archive, so what is replayed from the first can be held against a later one.
#[test]
fn a_state_that_is_not_what_the_commits_led_to_is_found_by_a_replay() {
    let disk = disk(seed());
    let database =
        open_at(&disk, "from", Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) });
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for number in 0..12_000 {
        run.put(&format!("key/{}", number % 9), number).unwrap();
    }
    run.export(file("run.arc")).unwrap();
    let parts = parts_of(&disk, &file("run.arc"));
    let states =
        parts.iter().filter_map(|part| if let Part::State(_, number) = part { Some(*number) } else { None });
    let states: Vec<_> = states.collect();
    assert!(states.len() > 1, "{states:?}");
    let mut state = 0;
    let forged: Vec<Part> = parts
        .iter()
        .map(|part| match part {
            Part::State(..) => {
                state += 1;
                part.clone()
            }
            Part::Slice(slice) if state == states.len() => Part::Slice(changed(slice, &mut |entry| {
                if let ImageEntry::Key { key, value, .. } = entry
                    && &**key == "key/3"
                {
                    *value = strata_primitives::Encoded::from_int(-1);
                }
            })),
            part => part.clone(),
        })
        .collect();
    for (name, parts, parting) in [("honest", &parts, None), ("forged", &forged, states.last().copied())] {
        forge(&disk, &file("made.arc"), parts);
        let database = open_at(&disk, name, options(Durability::Buffered, 1));
        database.import(file("made.arc")).unwrap();
        let report = database.run(run.id()).verify_replay().unwrap();
        assert_eq!(report.parting.map(|parting| parting.0), parting, "{name}: {report:?}, {states:?}");
    }
}
