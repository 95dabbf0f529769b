//! What the calls do on a good day, and whom they refuse.

use super::*;

#[test]
fn completions_come_in_any_order_and_give_their_buffers_back() {
    let mut orders = BTreeSet::new();
    for seed in 0..50 {
        let (disk, file) = disk_of(seed, "log", 3 * BLOCK_SIZE);
        let mut queue = disk.queue(4).unwrap();
        for token in 0..3 {
            queue.write_durable(token, &file, blocks(9, 1), token * BLOCK_SIZE as u64);
        }
        queue.sync(3, &file);
        assert_eq!((queue.in_flight(), queue.descriptor().is_none()), (4, true));
        let mut order = Vec::new();
        while let Some(completion) = queue.reap() {
            completion.result.unwrap();
            assert_eq!(completion.buffer.map(|buffer| buffer[0]), (completion.token < 3).then_some(9));
            order.push(completion.token);
        }
        assert_eq!((order.len(), queue.in_flight()), (4, 0));
        orders.insert(order);
    }
    assert!(orders.len() > 6);
}

#[test]
fn a_queue_reads_what_a_file_has_and_says_how_much_that_was() {
    let (disk, file) = disk_with("log", BLOCK_SIZE + 900);
    let mut queue = disk.queue(1).unwrap();
    for (offset, length) in [(0, BLOCK_SIZE), (BLOCK_SIZE, 900), (2 * BLOCK_SIZE, 0)] {
        queue.read(1, &file, blocks(9, 1), offset as u64);
        let completion = queue.wait();
        completion.result.unwrap();
        assert_eq!(completion.buffer.unwrap().as_slice(), vec![0; length]);
    }
}

#[test]
fn dropping_a_queue_completes_what_is_in_flight() {
    let (disk, file) = disk_with("log", 8 * BLOCK_SIZE);
    let mut queue = disk.queue(8).unwrap();
    (0..8).for_each(|token| queue.write_durable(token, &file, blocks(4, 1), token * BLOCK_SIZE as u64));
    drop(queue);
    assert_eq!(disk.durable_bytes(&path("log")), [4; 8 * BLOCK_SIZE]);
}

#[test]
fn locks_exclude_and_are_shared_as_on_a_real_disk() {
    let disk = SimDisk::new(1);
    assert_eq!(disk.lock_shared(&path("LOCK")).unwrap_err().kind(), ErrorKind::NotFound);
    let held = disk.lock(&path("LOCK"), "a long first owner").unwrap();
    let Lock::Owned { owner } = disk.lock(&path("LOCK"), "second").unwrap() else { panic!("it is held") };
    assert_eq!(owner, "a long first owner");
    assert!(matches!(disk.lock_shared(&path("LOCK")).unwrap(), Lock::Owned { .. }));
    drop(held);
    let readers = [disk.lock_shared(&path("LOCK")).unwrap(), disk.lock_shared(&path("LOCK")).unwrap()];
    assert!(readers.iter().all(|lock| matches!(lock, Lock::Held(_))));
    assert!(matches!(disk.lock(&path("LOCK"), "third").unwrap(), Lock::Owned { .. }));
    drop(readers);
    assert!(matches!(disk.lock(&path("LOCK"), "third").unwrap(), Lock::Held(_)));
    assert_eq!(disk.bytes(&path("LOCK")), b"third");
}

#[test]
fn names_and_kinds_are_checked_as_on_a_real_disk() {
    let (disk, file) = disk_with("file", 3);
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let open = |name: &str, access| disk.open(&path(name), access).map(drop);
    assert_eq!(kind(open("none", Access::Read)), ErrorKind::NotFound);
    assert_eq!(kind(open("file/below", Access::Read)), ErrorKind::NotADirectory);
    assert_eq!(kind(open("file", Access::Create)), ErrorKind::AlreadyExists);
    assert_eq!(kind(open("none/file", Access::Create)), ErrorKind::NotFound);
    assert_eq!(kind(disk.create_dir(&path("file"))), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.create_dir(&path("file/below"))), ErrorKind::NotADirectory);
    disk.create_dir(&path("dir")).unwrap();
    disk.create_dir(&path("dir")).unwrap();
    assert_eq!(kind(open("dir", Access::Read)), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.remove(&path("dir"))), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.rename(&path("file"), &path("dir"))), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.rename(&path("none"), &path("other"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.sync_dir(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.probe(&path("file")).map(drop)), ErrorKind::NotADirectory);
    let entries = disk.entries(Path::new("/")).unwrap();
    let listed: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.size, entry.is_dir)).collect();
    assert_eq!(listed, [("dir", 0, true), ("file", 3, false)]);

    disk.remove(&path("file")).unwrap();
    file.write_at(b"still open", 0).expect("an open file outlives its name");
    let reader =
        disk.open(&path("dir/new"), Access::Create).and_then(|_| disk.open(&path("dir/new"), Access::Read));
    let reader = reader.unwrap();
    assert_eq!(errno(reader.write_at(b"x", 0)), Some(Errno::BADF));
    assert_eq!(errno(reader.truncate(0)), Some(Errno::BADF));
    let mut queue = disk.queue(1).unwrap();
    queue.write_durable(1, &reader, blocks(1, 1), 0);
    assert_eq!(errno(queue.wait().result), Some(Errno::BADF));
}

#[test]
fn a_disk_without_direct_access_says_so_instead_of_opening() {
    let (disk, _file) = disk_with("log", BLOCK_SIZE);
    disk.set_direct(false);
    for access in [Access::Direct, Access::ReadDirect] {
        assert_eq!(disk.open(&path("log"), access).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(disk.probe(Path::new("/")).unwrap().direct.is_err());
    disk.set_direct(true);
    disk.open(&path("log"), Access::Direct).unwrap();
}

#[test]
fn direct_access_out_of_line_is_a_mistake_of_the_caller() {
    let (disk, _file) = disk_with("log", 2 * BLOCK_SIZE);
    let file = disk.open(&path("log"), Access::Direct).unwrap();
    let panics = |buffer: &mut [u8], offset| {
        catch_unwind(AssertUnwindSafe(|| file.read_at(buffer, offset).map(drop))).is_err()
    };
    assert!(panics(&mut blocks(0, 1)[..100], 0), "the length");
    assert!(panics(&mut blocks(0, 1), 512), "the offset");
    assert!(panics(&mut blocks(0, 2)[1..=BLOCK_SIZE], 0), "the address");
    assert!(!panics(&mut blocks(0, 1), 4096));
}

#[test]
fn a_flipped_bit_stays_flipped_and_bytes_can_be_put_there() {
    let (disk, _file) = disk_with("log", 4);
    disk.flip(&path("log"), 2, 7);
    disk.flip(&path("log"), 99, 7);
    assert_eq!(disk.bytes(&path("log")), [0, 0, 128, 0]);
    assert_eq!(futures(&disk, "log"), BTreeSet::from([vec![0, 0, 128, 0]]));
    let disk = disk.power_cycle(1);
    disk.set_bytes(&path("log"), b"plan");
    assert_eq!(futures(&disk, "log"), BTreeSet::from([b"plan".to_vec()]));
}

#[test]
fn writes_and_syncs_are_counted_and_reads_are_neither() {
    let (disk, file) = disk_with("log", BLOCK_SIZE);
    let mut queue: Box<dyn Queue> = disk.queue(2).unwrap();
    file.write_at(b"plan", 0).unwrap();
    queue.write_durable(1, &file, blocks(1, 1), 0);
    queue.sync(2, &file);
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!((disk.writes(), disk.syncs()), (2, 3));
    file.read_at(&mut [0; 4], 0).unwrap();
    disk.entries(Path::new("/")).unwrap();
    assert_eq!((disk.writes(), disk.syncs()), (2, 3));
}
