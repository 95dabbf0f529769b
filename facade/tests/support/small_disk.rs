//! A real file system of a few MiB, in a file behind a loop device, that a test can fill to its last block.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs, syncfs};
use rustix::io::Errno;
use tempfile::TempDir;

use super::process;

/// Runs `body` as test `name` in a process whose mounts are its own: they go with it, however it ends. Returns here once that
/// has passed, or at once, having said so, where this user or this machine cannot have that. `STRATA_FILLS` insists on it.
pub(crate) fn in_own_mounts(name: &str, body: impl FnOnce()) {
    if process::is_child(name) {
        return body();
    }
    let there = run(Command::new("unshare").args(["--mount", "true"]))
        .and_then(|()| SmallDisk::try_mount(1 << 20, 1024));
    if let Err(reason) = there.map(drop) {
        assert!(std::env::var_os("STRATA_FILLS").is_none(), "no small file system can be had: {reason}");
        return say(&format!("SKIPPED {name}: no small file system can be had: {reason}"));
    }
    let mut command = process::command_behind(&["unshare", "--mount"], name);
    process::expect_passed(name, &command.output().expect("the test binary runs again"));
}

/// A mounted ext4. It is unmounted when this is dropped, the end of a test that failed included.
pub(crate) struct SmallDisk {
    scratch: TempDir,
}

/// The first piece that a filler is tried to be made longer by, bytes; then half of it, and so on.
const PIECE_MAX: u64 = 4 << 20;

impl SmallDisk {
    /// Makes and mounts one of `size` bytes in blocks of `block_size`.
    pub(crate) fn mount(size: u64, block_size: u64) -> SmallDisk {
        SmallDisk::try_mount(size, block_size).expect("one was mounted before")
    }

    fn try_mount(size: u64, block_size: u64) -> Result<SmallDisk, String> {
        let scratch =
            tempfile::tempdir().map_err(|error| format!("there is no scratch directory: {error}"))?;
        let image = scratch.path().join("image");
        let disk = SmallDisk { scratch };
        let made = File::create(&image).and_then(|file| file.set_len(size));
        made.and_then(|()| fs::create_dir(disk.path())).map_err(|error| error.to_string())?;
        let block_size = block_size.to_string();
        // No block is kept back for root: root is who fills it. And names go to the first place in a directory that they fit
        // into, not to one by their hash: it is full when one is refused.
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-O", "^dir_index", "-b", &block_size])
            .arg(&image))?;
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&image).arg(disk.path()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("mount")
    }

    /// The store on it.
    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("strata.db")
    }

    /// How many bytes more can be written.
    pub(crate) fn free(&self) -> u64 {
        let found = statvfs(self.path()).expect("a mounted file system tells its space");
        found.f_bavail * found.f_frsize
    }

    /// Fills it until only `room` bytes are left.
    pub(crate) fn fill(&self, room: u64) {
        let filler =
            File::options().create(true).append(true).open(self.filler()).expect("there is a filler");
        let block_size = statvfs(self.path()).expect("a mounted file system tells its space").f_frsize;
        let mut piece = PIECE_MAX;
        while piece >= block_size {
            let end = filler.metadata().expect("the filler is there").len();
            if self.free() < room + piece {
                piece /= 2;
                continue;
            }
            match fallocate(&filler, FallocateFlags::empty(), end, piece) {
                Ok(()) => {}
                // Somebody else took it meanwhile.
                Err(Errno::NOSPC) => piece /= 2,
                Err(error) => panic!("the filler cannot grow: {error}"),
            }
        }
    }

    /// Fills it to the last block: those that were given up are free once the journal has been written.
    pub(crate) fn fill_up(&self) {
        for _ in 0..3 {
            syncfs(File::open(self.path()).expect("it is mounted")).expect("it can be synced");
            self.fill(0);
        }
        assert!(self.free() < 64 << 10, "the file system is full");
    }

    /// Gives `size` bytes back.
    pub(crate) fn give_back(&self, size: u64) {
        let filler = File::options().write(true).open(self.filler()).expect("there is a filler");
        let before = filler.metadata().expect("the filler is there").len();
        filler.set_len(before.saturating_sub(size)).expect("the filler can be cut");
    }

    /// Gives everything back.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).expect("there is a filler");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounts = |lazily: &[&str]| run(Command::new("umount").args(lazily).arg(self.path())).is_ok();
        // Somebody may still have a file open when a test fails: then it goes with the last of them.
        if is_mounted(&self.path()) && !unmounts(&[]) && !unmounts(&["-l"]) {
            say(&format!("{} could not be unmounted", self.path().display()));
        }
    }
}

/// Says something past the test harness, which shows the output of failed tests only.
pub(crate) fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if done.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}
