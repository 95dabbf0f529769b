//! What a power cut and a kill may do, and what they may not.

use super::*;

#[test]
fn a_write_that_was_not_synced_survives_is_lost_or_is_torn_between_sectors() {
    let (disk, file) = disk_with("log", 2048);
    file.write_at(&[1; 2048], 0).unwrap();
    let futures = futures(&disk, "log");
    assert!(futures.contains(&vec![1; 2048]), "it survives");
    assert!(futures.contains(&vec![0; 2048]), "it is lost");
    assert!(futures.len() > 8, "it is torn in many ways");
    let is_whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
    assert!(futures.iter().all(|bytes| bytes.chunks(512).all(is_whole)), "but never inside a sector");
}

#[test]
fn a_write_that_was_synced_survives_every_power_cut() {
    let (disk, file) = disk_with("log", 2048);
    file.write_at(&[1; 2048], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(futures(&disk, "log"), BTreeSet::from([vec![1; 2048]]));
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let (disk, file) = disk_with("log", 1024);
    file.write_at(&[1; 512], 0).unwrap();
    file.write_at(&[2; 512], 512).unwrap();
    let reordered = [vec![0; 512], vec![2; 512]].concat();
    assert!(futures(&disk, "log").contains(&reordered));
}

#[test]
fn an_extending_write_may_leave_its_size_without_its_content() {
    let (disk, file) = disk_with("log", 0);
    file.write_at(&[1; 512], 0).unwrap();
    let expected = [vec![], vec![0; 512], vec![1; 512]];
    assert_eq!(futures(&disk, "log"), BTreeSet::from(expected));
}

#[test]
fn a_cut_survives_or_not_and_a_synced_one_survives() {
    let (disk, file) = disk_with("log", 1024);
    file.truncate(512).unwrap();
    assert_eq!(futures(&disk, "log"), BTreeSet::from([vec![0; 512], vec![0; 1024]]));

    let (disk, file) = disk_with("log", 1024);
    file.truncate(512).unwrap();
    file.sync().unwrap();
    assert_eq!(futures(&disk, "log"), BTreeSet::from([vec![0; 512]]));
}

#[test]
fn a_durable_write_makes_its_own_range_durable_and_no_other() {
    let (disk, file) = disk_with("log", 3 * BLOCK_SIZE);
    file.write_at(&[1; 3 * BLOCK_SIZE], 0).unwrap();
    let mut queue = disk.queue(1).unwrap();
    queue.write_durable(1, &file, blocks(2, 1), BLOCK_SIZE as u64);
    queue.wait().result.unwrap();
    let durable = disk.durable_bytes(&path("log"));
    assert_eq!(durable, [[0; BLOCK_SIZE], [2; BLOCK_SIZE], [0; BLOCK_SIZE]].concat());
    assert_eq!(disk.bytes(&path("log")), [[1; BLOCK_SIZE], [2; BLOCK_SIZE], [1; BLOCK_SIZE]].concat());
    let futures = futures(&disk, "log");
    assert!(futures.len() > 8, "its neighbours survive or not");
    assert!(futures.iter().all(|bytes| bytes[BLOCK_SIZE..2 * BLOCK_SIZE] == [2; BLOCK_SIZE]));
}

#[test]
fn a_sync_of_a_queue_covers_only_what_was_written_before_it() {
    for seed in 0..20 {
        let (disk, file) = disk_of(seed, "log", 1024);
        let mut queue = disk.queue(1).unwrap();
        file.write_at(&[1; 512], 0).unwrap();
        queue.sync(1, &file);
        file.write_at(&[2; 512], 512).unwrap();
        queue.wait().result.unwrap();
        assert_eq!(disk.durable_bytes(&path("log")), [[1; 512], [0; 512]].concat(), "seed {seed}");
    }
}

#[test]
fn what_is_in_flight_at_a_power_cut_survives_is_lost_or_is_torn() {
    // Some seeds complete the write at its submission; the others leave it in flight.
    let mut left_in_flight = 0;
    for seed in 0..20 {
        let (disk, file) = disk_of(seed, "log", BLOCK_SIZE);
        let mut queue = disk.queue(1).unwrap();
        queue.write_durable(1, &file, blocks(1, 1), 0);
        let futures = futures(&disk, "log");
        assert!(futures.contains(&vec![1; BLOCK_SIZE]), "seed {seed}");
        if futures.len() > 1 {
            left_in_flight += 1;
            assert!(futures.contains(&vec![0; BLOCK_SIZE]), "seed {seed}: it is lost");
            assert!(futures.len() > 8, "seed {seed}: it is torn");
            assert_eq!(errno(queue.wait().result), Some(Errno::IO));
        }
    }
    assert!((1..20).contains(&left_in_flight));
}

#[test]
fn a_new_name_is_durable_once_its_directory_is_synced() {
    let disk = SimDisk::new(1);
    let file = disk.open(&path("plan"), Access::Create).unwrap();
    file.write_at(b"plan", 0).unwrap();
    file.sync().unwrap();
    let survivors = |disk: &SimDisk| (0..50).map(|seed| disk.power_cycle(seed).files().len()).sum::<usize>();
    assert!((1..50).contains(&survivors(&disk)), "a synced file may still lose its name");

    let disk = disk.kill();
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(survivors(&disk), 50);

    let disk = disk.kill();
    disk.remove(&path("plan")).unwrap();
    assert!((1..50).contains(&survivors(&disk)), "a removed name may come back");
}

#[test]
fn a_rename_happens_as_a_whole_or_not_at_all() {
    let disk = SimDisk::new(1);
    disk.set_bytes(&path("plan"), b"old");
    disk.set_bytes(&path("draft"), b"new");
    disk.rename(&path("draft"), &path("plan")).unwrap();
    assert_eq!(disk.files(), [path("plan")]);
    let outcomes: BTreeSet<_> = (0..50)
        .map(|seed| {
            let after = disk.power_cycle(seed);
            (after.files().len(), after.bytes(&path("plan")))
        })
        .collect();
    assert_eq!(outcomes, BTreeSet::from([(2, b"old".to_vec()), (1, b"new".to_vec())]));
}

#[test]
fn a_directory_that_was_not_synced_takes_its_files_with_it() {
    let disk = SimDisk::new(1);
    disk.create_dir(&path("a/b")).unwrap();
    disk.open(&path("a/b/file"), Access::Create).unwrap();
    disk.sync_dir(&path("a/b")).unwrap();
    disk.sync_dir(&path("a")).unwrap();
    let survives = |seed| disk.power_cycle(seed).files().len() == 1;
    assert!((0..50).any(survives) && !(0..50).all(survives));
    let disk = disk.kill();
    disk.sync_dir(Path::new("/")).unwrap();
    assert!((0..50).all(|seed| disk.power_cycle(seed).files().len() == 1));
}

#[test]
fn the_same_seeds_and_calls_give_the_same_bytes() {
    let story = |seed: u64, cut: u64| {
        let (disk, file) = disk_of(seed, "log", 8 * BLOCK_SIZE);
        let mut queue = disk.queue(4).unwrap();
        for token in 0..6 {
            file.write_at(&[token as u8 + 10; 3000], token * 2500).unwrap();
            queue.write_durable(token, &file, blocks(token as u8 + 1, 1), token * BLOCK_SIZE as u64);
        }
        let order: Vec<u64> = (0..3).map(|_| queue.wait().token).collect();
        disk.open(&path("other"), Access::Create).unwrap();
        let after = disk.power_cycle(cut);
        (order, after.files(), after.bytes(&path("log")))
    };
    let stories: BTreeSet<_> = (0..30).map(|seed| story(seed, seed + 1)).collect();
    assert_eq!(stories, (0..30).map(|seed| story(seed, seed + 1)).collect());
    assert!(stories.len() > 25, "other seeds tell other stories");
}

#[test]
fn a_killed_process_leaves_its_writes_to_the_kernel_and_its_files_stop_working() {
    let (disk, file) = disk_with("log", 0);
    let held = disk.lock(&path("LOCK"), "first").unwrap();
    file.write_at(b"plan", 0).unwrap();
    let after = disk.kill();
    assert_eq!(after.bytes(&path("log")), b"plan");
    assert!(matches!(after.lock(&path("LOCK"), "second").unwrap(), Lock::Held(_)));
    drop(held);
    assert_eq!(errno(file.write_at(b"more", 4)), Some(Errno::IO));
    assert_eq!(errno(disk.entries(Path::new("/"))), Some(Errno::IO));
    assert_eq!(after.bytes(&path("log")), b"plan");
    assert_eq!(after.power_cycle(3).files(), [path("log")], "it was never synced, the name was");
}

#[test]
fn what_a_killed_process_had_in_flight_happens_or_does_not() {
    let (disk, file) = disk_with("log", BLOCK_SIZE);
    let mut outcomes = BTreeSet::new();
    for round in 0..50 {
        let mut queue = disk.queue(1).unwrap();
        queue.write_durable(round, &file, blocks(1, 1), 0);
        // An earlier round that completed would hide the outcome of this one.
        if disk.durable_bytes(&path("log"))[0] == 0 {
            outcomes.extend((0..20).map(|_| disk.kill().bytes(&path("log"))));
            break;
        }
        drop(queue);
        disk.set_bytes(&path("log"), &[0; BLOCK_SIZE]);
    }
    assert_eq!(outcomes, BTreeSet::from([vec![0; BLOCK_SIZE], vec![1; BLOCK_SIZE]]));
}

#[test]
fn nobody_hears_of_a_completion_after_a_power_cut() {
    for seed in 0..20 {
        let (disk, file) = disk_of(seed, "log", BLOCK_SIZE);
        let mut queue = disk.queue(1).unwrap();
        queue.write_durable(1, &file, blocks(1, 1), 0);
        let _after = disk.power_cycle(seed);
        assert_eq!(errno(queue.reap().unwrap().result), Some(Errno::IO), "seed {seed}");
    }
}
