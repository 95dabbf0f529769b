//! The names of the simulated disk: what the kernel shows, and what a power cut would leave.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::dice::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    kernel: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Change>, // in the order they were made
}

/// One change of names, atomic: it survives a power cut as a whole or not at all.
#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

impl Tree {
    /// What `path` names now; the root is always there.
    pub(super) fn node(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() || path.as_os_str().is_empty() {
            return Some(Node::Dir);
        }
        self.kernel.get(path).copied()
    }

    /// The file that `path` names.
    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.node(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(self.missing(path)),
        }
    }

    /// Every file, in the order of paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.kernel.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.as_path(), *inode)),
            Node::Dir => None,
        })
    }

    /// What lies directly in `dir`, in the order of names.
    pub(super) fn entries(&self, dir: &Path) -> io::Result<Vec<(&Path, Node)>> {
        self.expect_dir(dir)?;
        let inside = self.kernel.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside.map(|(path, node)| (path.as_path(), *node)).collect())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Dir) => return Ok(()),
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => {}
        }
        self.create_dir(path.parent().unwrap_or(Path::new("")))?;
        self.change(Change::Link { path: path.to_owned(), node: Node::Dir });
        Ok(())
    }

    pub(super) fn link(&mut self, path: &Path, inode: u64) -> io::Result<()> {
        if self.node(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.expect_dir(path.parent().unwrap_or(Path::new("")))?;
        self.change(Change::Link { path: path.to_owned(), node: Node::File(inode) });
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.change(Change::Unlink { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = Node::File(self.file(from)?);
        self.expect_dir(to.parent().unwrap_or(Path::new("")))?;
        if self.node(to) == Some(Node::Dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), node });
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.expect_dir(dir)?;
        for change in self.pending.extract_if(.., |change| change.touches(dir)) {
            change.apply(&mut self.durable);
        }
        Ok(())
    }

    /// Makes the name of `path` and of every directory above it durable.
    pub(super) fn settle(&mut self, path: &Path) {
        for above in path.ancestors().skip(1) {
            let _ = self.sync_dir(above);
        }
    }

    /// Power is lost: every unsynced change of names survives or not, each on its own, and what lies
    /// in a directory whose own name did not survive is gone with it.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) {
        for change in std::mem::take(&mut self.pending) {
            if dice.flip() {
                change.apply(&mut self.durable);
            }
        }
        self.kernel = BTreeMap::new();
        for (path, node) in &self.durable {
            let parent = path.parent().unwrap_or(Path::new(""));
            if self.node(parent) == Some(Node::Dir) {
                self.kernel.insert(path.clone(), *node);
            }
        }
        self.durable = self.kernel.clone();
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.kernel);
        self.pending.push(change);
    }

    fn expect_dir(&self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(self.missing(path)),
        }
    }

    /// A path through a file is not merely missing.
    fn missing(&self, path: &Path) -> io::Error {
        let through_file = path.ancestors().any(|above| matches!(self.node(above), Some(Node::File(_))));
        if through_file { io::ErrorKind::NotADirectory.into() } else { io::ErrorKind::NotFound.into() }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Link { path, node } => {
                names.insert(path.clone(), *node);
            }
            Change::Unlink { path } => {
                names.remove(path);
            }
            Change::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        match self {
            Change::Link { path, .. } | Change::Unlink { path } => path.parent() == Some(dir),
            Change::Rename { from, to, .. } => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}
