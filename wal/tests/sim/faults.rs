//! Calls that fail: once, for ever, in part, and for want of space.

use super::*;

/// One call of each kind, in a fixed order; stops at the first that fails.
fn one_of_each(disk: &SimDisk) -> io::Result<()> {
    disk.create_dir(&path("store"))?;
    disk.probe(&path("store"))?;
    let Lock::Held(_guard) = disk.lock(&path("store/LOCK"), "me")? else { panic!("nobody else is here") };
    let file = disk.open(&path("store/log"), Access::Create)?;
    file.write_at(&[1; 100], 0)?;
    file.truncate(BLOCK_SIZE as u64)?;
    file.read_at(&mut [0; 10], 0)?;
    file.size()?;
    file.sync()?;
    disk.rename(&path("store/log"), &path("store/log2"))?;
    disk.sync_dir(&path("store"))?;
    disk.entries(&path("store"))?;
    let mut queue = disk.queue(1)?;
    queue.write_durable(1, &file, blocks(1, 1), 0);
    queue.wait().result?;
    queue.sync(2, &file);
    queue.wait().result?;
    drop(disk.lock_shared(&path("store/log2"))?);
    disk.remove(&path("store/log2"))
}

const POINTS: u64 = 19;

#[test]
fn every_call_that_can_fail_is_a_point_and_fails_when_told() {
    let disk = SimDisk::new(1);
    one_of_each(&disk).unwrap();
    assert_eq!(disk.points(), POINTS);
    for at in 1..=POINTS {
        let disk = SimDisk::new(at);
        disk.set_faults(Faults::once(at, FaultKind::Error));
        assert_eq!(errno(one_of_each(&disk)), Some(Errno::IO), "point {at}");
        let struck = disk.points();
        assert!((at..=at + 1).contains(&struck), "a queue tells of it when the operation completes");
        disk.entries(Path::new("/")).expect("it failed once");

        let disk = SimDisk::new(at);
        disk.set_faults(Faults::forever(at, FaultKind::Error));
        assert_eq!(errno(one_of_each(&disk)), Some(Errno::IO), "point {at}");
        assert_eq!(errno(disk.entries(Path::new("/"))), Some(Errno::IO), "it fails for ever");
    }
}

#[test]
fn no_space_strikes_only_calls_that_need_space() {
    let needy = |at: u64| {
        let disk = SimDisk::new(1);
        disk.set_faults(Faults::once(at, FaultKind::NoSpace));
        match one_of_each(&disk) {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
                true
            }
        }
    };
    // The directory and the lock file are new, the log is created, written, extended and given another name.
    assert_eq!((1..=POINTS).filter(|at| needy(*at)).collect::<Vec<u64>>(), [1, 3, 4, 5, 6, 10]);
}

#[test]
fn a_torn_write_leaves_its_first_sectors() {
    let mut lengths = BTreeSet::new();
    for seed in 0..50 {
        let (disk, file) = disk_of(seed, "log", 2048);
        disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Torn));
        assert_eq!(errno(file.write_at(&[1; 2048], 0)), Some(Errno::IO));
        let bytes = disk.bytes(&path("log"));
        let length = bytes.iter().take_while(|byte| **byte == 1).count();
        assert!(bytes[length..].iter().all(|byte| *byte == 0));
        lengths.insert(length);
    }
    assert_eq!(lengths, BTreeSet::from([0, 512, 1024, 1536]));
}

#[test]
fn a_torn_durable_write_leaves_its_first_sectors_on_the_medium() {
    let mut lengths = BTreeSet::new();
    for seed in 0..100 {
        let (disk, file) = disk_of(seed, "log", BLOCK_SIZE);
        let mut queue = disk.queue(1).unwrap();
        disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Torn));
        queue.write_durable(1, &file, blocks(1, 1), 0);
        assert_eq!(errno(queue.wait().result), Some(Errno::IO));
        let bytes = disk.durable_bytes(&path("log"));
        let length = bytes.iter().take_while(|byte| **byte == 1).count();
        assert!(bytes[length..].iter().all(|byte| *byte == 0));
        lengths.insert(length);
    }
    assert_eq!(lengths, (0..8).map(|sectors| sectors * 512).collect());
}

#[test]
fn a_write_whose_completion_fails_may_have_happened_wholly_in_part_or_not_at_all() {
    for kind in [FaultKind::Error, FaultKind::Torn, FaultKind::PowerCut] {
        let outcomes: BTreeSet<usize> = (0..100)
            .map(|seed| {
                let (disk, file) = disk_of(seed, "log", BLOCK_SIZE);
                let mut queue = disk.queue(1).unwrap();
                disk.set_faults(Faults::once(disk.points() + 2, kind));
                queue.write_durable(1, &file, blocks(1, 1), 0);
                assert_eq!(errno(queue.wait().result), Some(Errno::IO));
                disk.power_cycle(seed).bytes(&path("log")).iter().filter(|byte| **byte == 1).count()
            })
            .collect();
        assert!(outcomes.contains(&0) && outcomes.contains(&BLOCK_SIZE), "{kind:?}");
        assert_eq!(outcomes.len() > 2, kind != FaultKind::Error, "{kind:?}");
    }
}

#[test]
fn a_failed_sync_loses_data_for_good_and_the_next_one_reports_success() {
    let mut lost = 0;
    for (seed, in_queue) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (disk, file) = disk_of(seed, "log", 512);
        let mut queue = disk.queue(1).unwrap();
        file.write_at(&[1; 512], 0).unwrap();
        disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Error));
        if in_queue {
            queue.sync(1, &file);
            assert_eq!(errno(queue.wait().result), Some(Errno::IO));
        } else {
            assert_eq!(errno(file.sync()), Some(Errno::IO));
        }
        file.sync().expect("the kernel believes that all is clean");
        assert_eq!(disk.bytes(&path("log")), [1; 512], "the page cache still has it");
        let durable = disk.durable_bytes(&path("log"));
        lost += usize::from(durable == [0; 512]);
        let told = if durable == [0; 512] { vec![path("log")] } else { Vec::new() };
        assert_eq!(disk.lost_files(), told);
        let after = disk.power_cycle(1);
        assert_eq!((after.bytes(&path("log")), after.lost_files()), (durable, told));
    }
    assert!((1..40).contains(&lost));
}

#[test]
fn a_direct_read_sees_the_medium_where_the_cache_deceives() {
    let content = (0..20).map(|seed| {
        let (disk, file) = disk_of(seed, "log", 2 * BLOCK_SIZE);
        file.write_at(&[1; BLOCK_SIZE], 0).unwrap();
        disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Error));
        file.sync().unwrap_err();
        file.write_at(&[2; BLOCK_SIZE], BLOCK_SIZE as u64).unwrap();
        let mut buffer = blocks(9, 2);
        let direct = disk.open(&path("log"), Access::ReadDirect).unwrap();
        assert_eq!(direct.read_at(&mut buffer, 0).unwrap(), 2 * BLOCK_SIZE);
        (buffer[0], buffer[BLOCK_SIZE])
    });
    assert_eq!(content.collect::<BTreeSet<_>>(), BTreeSet::from([(0, 2), (1, 2)]));
}

#[test]
fn a_planned_panic_takes_the_thread_and_not_the_disk() {
    let (disk, file) = disk_with("log", 4);
    disk.set_faults(Fault { at: disk.points() + 1, kind: FaultKind::Panic, forever: false }.into());
    let panic = catch_unwind(AssertUnwindSafe(|| file.write_at(b"plan", 0))).unwrap_err();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.contains("planned for I/O point 2"), "{message}");
    assert_eq!(disk.bytes(&path("log")), [0; 4]);
    file.write_at(b"plan", 0).unwrap();
}

#[test]
fn without_power_nothing_works_until_the_power_cycle() {
    let (disk, file) = disk_with("log", 4);
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::PowerCut));
    assert_eq!(errno(file.write_at(b"plan", 0)), Some(Errno::IO));
    let points = disk.points();
    disk.set_faults(Faults::none());
    assert_eq!(errno(file.read_at(&mut [0; 4], 0)), Some(Errno::IO));
    assert_eq!(errno(disk.kill().entries(Path::new("/"))), Some(Errno::IO), "killing brings no power");
    assert_eq!(disk.points(), points, "calls that cannot happen are not counted");
    let disk = disk.power_cycle(1);
    assert_eq!(disk.points(), 0);
    assert_eq!(disk.bytes(&path("log")), [0; 4]);
    disk.open(&path("log"), Access::Write).unwrap().write_at(b"plan", 0).unwrap();
}

#[test]
fn a_full_disk_refuses_growth_and_serves_the_rest() {
    let (disk, file) = disk_with("log", 1000);
    disk.set_capacity(Some(1100));
    assert_eq!(errno(file.write_at(&[1; 200], 950)), Some(Errno::NOSPC));
    assert_eq!(errno(file.truncate(1101)), Some(Errno::NOSPC));
    assert_eq!(disk.bytes(&path("log")), [0; 1000], "nothing happened");
    file.write_at(&[1; 1000], 100).unwrap();
    assert_eq!(errno(disk.open(&path("more"), Access::Create)), Some(Errno::NOSPC));
    let mut queue = disk.queue(1).unwrap();
    queue.write_durable(1, &file, blocks(1, 1), 0);
    assert_eq!(errno(queue.wait().result), Some(Errno::NOSPC));
    file.write_at(&[2; 1100], 0).unwrap();
    file.sync().unwrap();
    file.truncate(10).unwrap();
    disk.open(&path("more"), Access::Create).unwrap().write_at(&[1; 1000], 0).unwrap();
    disk.remove(&path("log")).unwrap();
    disk.set_capacity(None);
    disk.open(&path("more"), Access::Write).unwrap().write_at(&[1; 5000], 0).unwrap();
}
