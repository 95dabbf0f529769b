//! The real disk: every way of writing, its fallbacks, and the lock on a store.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use strata_wal::disk::Disk;
use strata_wal::storage::{Access, BLOCK_SIZE, Buffer, File, Lock, Storage};
use tempfile::TempDir;

/// A directory beside the build, as temporary ones may lie on a file system without direct I/O.
fn dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn every_disk() -> [Disk; 4] {
    [Disk::new(), Disk::without_ring(), Disk::without_direct(), Disk::portable()]
}

/// One block of `byte`.
fn block(byte: u8) -> Buffer {
    let mut buffer = Buffer::with_capacity(BLOCK_SIZE);
    buffer.extend_from_slice(&[byte; BLOCK_SIZE]);
    buffer
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&result.unwrap_err())
}

fn panics(call: impl FnOnce() -> std::io::Result<usize>) -> bool {
    catch_unwind(AssertUnwindSafe(call)).is_err()
}

/// A prepared file, opened past the page cache where that is possible.
fn log_file(disk: &Disk, path: &Path, blocks: usize) -> Arc<dyn File> {
    let file = disk.open(path, Access::Create).unwrap();
    file.write_at(&vec![0; blocks * BLOCK_SIZE], 0).unwrap();
    file.sync().unwrap();
    match disk.open(path, Access::Direct) {
        Err(error) if error.kind() == ErrorKind::Unsupported => file,
        direct => direct.unwrap(),
    }
}

#[test]
fn what_was_written_and_synced_reads_back() {
    for disk in every_disk() {
        let dir = dir();
        let path = dir.path().join("file");
        let file = disk.open(&path, Access::Create).unwrap();
        file.write_at(b"a draft", 0).unwrap();
        file.write_at(b"plan", 2).unwrap();
        file.sync().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        let mut bytes = [0; 32];
        let reader = disk.open(&path, Access::Read).unwrap();
        assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), 7);
        assert_eq!(&bytes[..7], b"a plant");
        assert_eq!(reader.read_at(&mut bytes, 100).unwrap(), 0);
        assert_eq!(reader.size().unwrap(), 7);
    }
}

#[test]
fn a_file_is_cut_and_extended_with_zeros() {
    let dir = dir();
    let file = Disk::new().open(&dir.path().join("file"), Access::Create).unwrap();
    file.write_at(b"plan", 0).unwrap();
    file.truncate(2).unwrap();
    file.truncate(4).unwrap();
    let mut bytes = [9; 4];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 4);
    assert_eq!(&bytes, b"pl\0\0");
}

#[test]
fn a_queue_writes_durably_and_gives_its_buffers_back() {
    for disk in every_disk() {
        let dir = dir();
        let file = log_file(&disk, &dir.path().join("log"), 8);
        let mut queue = disk.queue(4).unwrap();
        for token in 0..8 {
            queue.write_durable(token, &file, block(token as u8 + 1), token * BLOCK_SIZE as u64);
        }
        queue.sync(100, &file);
        assert_eq!(queue.in_flight(), 9);
        let mut tokens = Vec::new();
        while queue.in_flight() > 0 {
            let completion = queue.wait();
            completion.result.unwrap();
            let returned = completion.buffer.map(|buffer| buffer[0]);
            assert_eq!(returned, (completion.token < 8).then_some(completion.token as u8 + 1));
            tokens.push(completion.token);
        }
        tokens.sort_unstable();
        assert_eq!(tokens, [0, 1, 2, 3, 4, 5, 6, 7, 100]);
        assert!(queue.reap().is_none());
        let mut content = block(0);
        content.resize(8 * BLOCK_SIZE);
        assert_eq!(file.read_at(&mut content, 0).unwrap(), 8 * BLOCK_SIZE);
        let is_right = |(at, byte): (usize, &u8)| *byte as usize == at / BLOCK_SIZE + 1;
        assert!(content.iter().enumerate().all(is_right));
    }
}

#[test]
fn a_queue_reads_what_a_file_has_and_says_how_much_that_was() {
    for disk in every_disk() {
        let dir = dir();
        let path = dir.path().join("file");
        disk.open(&path, Access::Create).unwrap().write_at(&[6; BLOCK_SIZE + 900], 0).unwrap();
        let accesses = [Access::Read, Access::ReadDirect].into_iter();
        for file in accesses.filter_map(|access| disk.open(&path, access).ok()) {
            let mut queue = disk.queue(2).unwrap();
            let expected = [(0, BLOCK_SIZE), (BLOCK_SIZE, 900), (2 * BLOCK_SIZE, 0)];
            expected.iter().for_each(|(at, _)| queue.read(*at as u64, &file, block(1), *at as u64));
            for _ in expected {
                let completion = queue.wait();
                completion.result.unwrap();
                let length = expected.iter().find(|(at, _)| *at as u64 == completion.token).unwrap().1;
                assert_eq!(completion.buffer.unwrap().as_slice(), vec![6; length]);
            }
        }
        let mut queue = disk.queue(1).unwrap();
        let unreadable = disk.open(Path::new("/proc/self/mem"), Access::Read).unwrap(); // nothing is mapped at 0
        queue.read(1, &unreadable, block(1), 0);
        let completion = queue.wait();
        assert!(completion.buffer.is_some());
        assert_eq!(errno(completion.result), Some(Errno::IO));
    }
}

/// That a file ends on a block is seen by reading behind it alone.
#[test]
fn a_read_that_is_continued_goes_on_where_it_ended() {
    for disk in every_disk() {
        let dir = dir();
        let path = dir.path().join("file");
        let content = [[1; BLOCK_SIZE], [2; BLOCK_SIZE]].concat();
        disk.open(&path, Access::Create).unwrap().write_at(&content, 0).unwrap();
        let accesses = [Access::Read, Access::ReadDirect].into_iter();
        for file in accesses.filter_map(|access| disk.open(&path, access).ok()) {
            let mut buffer = Buffer::default();
            buffer.resize(4 * BLOCK_SIZE);
            let mut queue = disk.queue(1).unwrap();
            queue.read(1, &file, buffer, 0);
            assert_eq!(queue.wait().buffer.unwrap().as_slice(), content);
        }
    }
}

#[test]
fn the_descriptor_of_a_queue_is_readable_once_a_completion_waits() {
    let disk = Disk::new();
    let dir = dir();
    let file = log_file(&disk, &dir.path().join("log"), 1);
    let mut queue = disk.queue(1).unwrap();
    assert_eq!(queue.descriptor().is_some(), disk.probe(dir.path()).unwrap().ring.is_ok());
    let readable = |queue: &dyn strata_wal::storage::Queue, limit: Timespec| {
        let descriptor = queue.descriptor().unwrap();
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)).unwrap() == 1
    };
    if queue.descriptor().is_some() {
        assert!(!readable(&*queue, Timespec { tv_sec: 0, tv_nsec: 0 }));
    }
    queue.write_durable(7, &file, block(1), 0);
    if queue.descriptor().is_some() {
        assert!(readable(&*queue, Timespec { tv_sec: 60, tv_nsec: 0 }));
    }
    let completion = queue.reap().expect("a completion waits");
    assert_eq!(completion.token, 7);
    completion.result.unwrap();
}

#[test]
fn dropping_a_queue_waits_for_what_is_in_flight() {
    for disk in every_disk() {
        let dir = dir();
        let file = log_file(&disk, &dir.path().join("log"), 16);
        let mut queue = disk.queue(2).unwrap();
        for token in 0..16 {
            queue.write_durable(token, &file, block(5), token * BLOCK_SIZE as u64);
        }
        drop(queue);
        assert!(std::fs::read(dir.path().join("log")).unwrap().iter().all(|&byte| byte == 5));
    }
}

#[test]
fn errors_of_background_writes_and_syncs_are_reported_once_and_give_the_buffer_back() {
    for disk in every_disk() {
        let full = disk.open(Path::new("/dev/full"), Access::Write).unwrap();
        let mut queue = disk.queue(2).unwrap();
        queue.write_durable(1, &full, block(3), 0);
        let completion = queue.wait();
        assert_eq!(completion.buffer.unwrap()[0], 3);
        assert_eq!(errno(completion.result), Some(Errno::NOSPC));
        queue.sync(2, &full); // a device that cannot be synced
        let completion = queue.wait();
        assert_eq!((completion.token, errno(completion.result)), (2, Some(Errno::INVAL)));
        assert_eq!(queue.in_flight(), 0);
    }
}

#[test]
fn a_file_opened_for_reading_refuses_writes() {
    for disk in every_disk() {
        let dir = dir();
        let path = dir.path().join("file");
        disk.open(&path, Access::Create).unwrap();
        let file = disk.open(&path, Access::Read).unwrap();
        assert_eq!(errno(file.write_at(b"x", 0)), Some(Errno::BADF));
        let mut queue = disk.queue(1).unwrap();
        queue.write_durable(1, &file, block(1), 0);
        assert_eq!(errno(queue.wait().result), Some(Errno::BADF));
        assert_eq!(file.size().unwrap(), 0);
    }
}

#[test]
#[should_panic(expected = "nothing is in flight")]
fn waiting_for_nothing_is_a_mistake_of_the_caller_on_the_ring() {
    Disk::new().queue(1).unwrap().wait();
}

#[test]
#[should_panic(expected = "nothing is in flight")]
fn waiting_for_nothing_is_a_mistake_of_the_caller_without_a_ring() {
    Disk::without_ring().queue(1).unwrap().wait();
}

#[test]
fn a_direct_read_ends_where_the_file_ends() {
    let disk = Disk::new();
    let dir = dir();
    let path = dir.path().join("file");
    disk.open(&path, Access::Create).unwrap().write_at(&[6; 5000], 0).unwrap();
    let file = match disk.open(&path, Access::ReadDirect) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return, // nothing to read past
        file => file.unwrap(),
    };
    let mut buffer = block(0);
    buffer.resize(4 * BLOCK_SIZE);
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 5000);
    assert!(buffer[..5000].iter().all(|&byte| byte == 6));
    assert_eq!(file.read_at(&mut buffer, BLOCK_SIZE as u64).unwrap(), 5000 - BLOCK_SIZE);
    assert_eq!(file.read_at(&mut buffer, 8 * BLOCK_SIZE as u64).unwrap(), 0);
}

#[test]
fn direct_access_out_of_line_is_a_mistake_of_the_caller() {
    let disk = Disk::new();
    let dir = dir();
    let path = dir.path().join("file");
    disk.open(&path, Access::Create).unwrap().write_at(&[6; 2 * BLOCK_SIZE], 0).unwrap();
    let Ok(file) = disk.open(&path, Access::Direct) else { return };
    let mut buffer = block(0);
    buffer.resize(2 * BLOCK_SIZE);
    assert!(panics(|| file.read_at(&mut buffer.clone()[..100], 0)), "the length");
    assert!(panics(|| file.read_at(&mut block(0), 512)), "the offset");
    assert!(panics(|| file.write_at(&buffer[1..][..BLOCK_SIZE], 0).map(|()| 0)), "the address");
    assert!(!panics(|| file.read_at(&mut block(0), 4096)));
}

#[test]
fn a_disk_without_direct_access_says_so_instead_of_opening() {
    let dir = dir();
    let path = dir.path().join("file");
    for disk in [Disk::without_direct(), Disk::portable()] {
        let _ = disk.open(&path, Access::Create);
        for access in [Access::Direct, Access::ReadDirect] {
            assert_eq!(disk.open(&path, access).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        assert!(disk.probe(dir.path()).unwrap().direct.unwrap_err().contains("turned off"));
    }
}

#[test]
fn a_probe_leaves_nothing_behind_and_says_what_it_found() {
    let dir = dir();
    for disk in every_disk() {
        let found = disk.probe(dir.path()).unwrap();
        assert_eq!(found.direct.is_ok(), {
            let path = dir.path().join("file");
            disk.open(&path, Access::Create).unwrap();
            let opened = disk.open(&path, Access::Direct);
            disk.remove(&path).unwrap();
            opened.is_ok()
        });
        assert_eq!(found.ring.is_ok(), disk.queue(1).unwrap().descriptor().is_some());
        assert!(disk.entries(dir.path()).unwrap().is_empty());
    }
    assert!(Disk::without_ring().probe(dir.path()).unwrap().ring.unwrap_err().contains("turned off"));
    assert_eq!(Disk::new().probe(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(dir.path().join("file"), b"").unwrap();
    assert_eq!(Disk::new().probe(&dir.path().join("file")).unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn a_device_without_direct_access_is_reported_as_unsupported() {
    // A pseudo file system: it has regular files and knows no O_DIRECT.
    let error = Disk::new().open(Path::new("/proc/self/status"), Access::ReadDirect).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn opening_says_what_was_expected_to_be_there() {
    let disk = Disk::new();
    let dir = dir();
    let path = dir.path().join("file");
    for access in [Access::Read, Access::ReadDirect, Access::Write, Access::Direct] {
        assert_eq!(disk.open(&path, access).unwrap_err().kind(), ErrorKind::NotFound);
    }
    disk.open(&path, Access::Create).unwrap();
    assert_eq!(disk.open(&path, Access::Create).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open(dir.path(), Access::Read).unwrap_err().kind(), ErrorKind::IsADirectory);
}

#[test]
fn directories_are_created_with_their_parents_and_listed_in_order() {
    let disk = Disk::new();
    let dir = dir();
    let deep = dir.path().join("b/c");
    disk.create_dir(&deep).unwrap();
    disk.create_dir(&deep).unwrap();
    disk.open(&dir.path().join("a"), Access::Create).unwrap().write_at(b"four", 0).unwrap();
    let entries = disk.entries(dir.path()).unwrap();
    let listed: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.size, entry.is_dir)).collect();
    assert_eq!(listed, [("a", 4, false), ("b", 0, true)]);
    let mut names = disk.names(dir.path()).unwrap();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
    for path in ["a", "a/below"] {
        let error = disk.create_dir(&dir.path().join(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory, "{path}");
    }
    let none = dir.path().join("none");
    assert_eq!(disk.entries(&none).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.names(&none).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_rename_replaces_and_a_removed_file_is_gone() {
    let disk = Disk::new();
    let dir = dir();
    let (draft, plan) = (dir.path().join("draft"), dir.path().join("plan"));
    std::fs::write(&plan, b"old").unwrap();
    std::fs::write(&draft, b"new").unwrap();
    disk.rename(&draft, &plan).unwrap();
    disk.sync_dir(dir.path()).unwrap();
    assert_eq!(std::fs::read(&plan).unwrap(), b"new");
    disk.remove(&plan).unwrap();
    assert!(disk.entries(dir.path()).unwrap().is_empty());
    assert_eq!(disk.remove(&plan).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_lock_keeps_others_of_the_same_process_out_until_it_is_dropped() {
    let dir = dir();
    let path = dir.path().join("LOCK");
    let held = Disk::new().lock(&path, "a rather long first owner").unwrap();
    assert!(matches!(held, Lock::Held(_)));
    let Lock::Owned { owner } = Disk::new().lock(&path, "second").unwrap() else { panic!("it is held") };
    assert_eq!(owner, "a rather long first owner");
    assert!(matches!(Disk::new().lock_shared(&path).unwrap(), Lock::Owned { .. }));
    drop(held);
    let held = Disk::new().lock(&path, "third").unwrap();
    assert!(matches!(held, Lock::Held(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"third");
}

#[test]
fn readers_share_a_lock_and_keep_an_owner_out() {
    let dir = dir();
    let path = dir.path().join("LOCK");
    let disk = Disk::new();
    assert_eq!(disk.lock_shared(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!path.exists(), "a reader creates nothing");
    drop(disk.lock(&path, "gone").unwrap());
    let readers = [disk.lock_shared(&path).unwrap(), disk.lock_shared(&path).unwrap()];
    assert!(readers.iter().all(|lock| matches!(lock, Lock::Held(_))));
    assert!(matches!(disk.lock(&path, "owner").unwrap(), Lock::Owned { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"gone", "readers write nothing, losers neither");
    drop(readers);
    assert!(matches!(disk.lock(&path, "owner").unwrap(), Lock::Held(_)));
}

#[test]
fn a_lock_keeps_other_processes_out_and_dies_with_its_owner() {
    const LOCK_TO_HOLD: &str = "STRATA_TEST_LOCK_TO_HOLD";
    if let Some(path) = std::env::var_os(LOCK_TO_HOLD) {
        let held = Disk::new().lock(Path::new(&path), "the child").unwrap();
        println!("\n{held:?}");
        std::io::stdout().flush().unwrap();
        std::io::stdin().lines().for_each(drop); // until killed, or until the parent is gone
        return;
    }
    let dir = dir();
    let path = dir.path().join("LOCK");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "a_lock_keeps_other_processes_out_and_dies_with_its_owner"])
        .env(LOCK_TO_HOLD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Held")), "the child takes the lock");
    let Lock::Owned { owner } = Disk::new().lock(&path, "the parent").unwrap() else { panic!("it is held") };
    assert_eq!(owner, "the child");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(Disk::new().lock(&path, "the parent").unwrap(), Lock::Held(_)));
}
