//! The members of a JSON object in insertion order: a plain list while few, two balanced trees when many.
use super::array::{SMALL_AGAIN, SMALL_MAX};
use super::node::Node;
use std::sync::Arc;

/// Named nodes in insertion order. Cloning many shares them; changing one copies a path.
#[derive(Clone)]
pub(super) enum Members {
    Small(Vec<(Arc<str>, Node)>),
    Large(Slots),
}

/// Members in the order they came in, and where each name is.
///
/// The names are in an ordered tree and not in a hash table: it needs no seed, no choice of names makes it slow,
/// and a replaced member touches only the slots.
#[derive(Clone)]
pub(super) struct Slots {
    /// A member that was taken out leaves an empty slot, so that the others stay where they are.
    members: imbl::Vector<Option<(Arc<str>, Node)>>,
    slots: imbl::OrdMap<Arc<str>, usize>,
}

impl Slots {
    /// The members in this order; `None` if a name occurs twice.
    fn new(members: Vec<(Arc<str>, Node)>) -> Option<Self> {
        // Sorted first: the tree then grows at its end, and equal names stand side by side.
        let mut names: Vec<_> = members.iter().map(|(name, _)| name.clone()).zip(0usize..).collect();
        names.sort_unstable();
        let is_repeated = names.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let members = members.into_iter().map(Some).collect();
        (!is_repeated).then(|| Self { members, slots: names.into_iter().collect() })
    }

    fn push(&mut self, name: Arc<str>, node: Node) {
        self.slots.insert(name.clone(), self.members.len());
        self.members.push_back(Some((name, node)));
    }

    fn remove(&mut self, name: &str) -> Option<Node> {
        let slot = self.slots.remove(name)?;
        self.members.get_mut(slot)?.take().map(|(_, node)| node)
    }

    /// Whether so many slots are empty that it pays to close the ranks.
    fn is_sparse(&self) -> bool {
        self.members.len() > 2 * self.slots.len()
    }

    fn to_members(&self) -> Vec<(Arc<str>, Node)> {
        self.members.iter().flatten().cloned().collect()
    }
}

impl Members {
    /// The members in this order; `None` if a name occurs twice.
    pub(super) fn new(members: Vec<(Arc<str>, Node)>) -> Option<Self> {
        let count = members.len();
        if count <= SMALL_MAX {
            let is_repeated =
                |index: usize| members[..index].iter().any(|(name, _)| *name == members[index].0);
            return (!(1..count).any(is_repeated)).then_some(Self::Small(members));
        }
        Slots::new(members).map(Self::Large)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(members) => members.len(),
            Self::Large(slots) => slots.slots.len(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match self {
            Self::Small(members) => members.iter().find(|(own, _)| **own == *name).map(|(_, node)| node),
            Self::Large(slots) => slots.members.get(*slots.slots.get(name)?)?.as_ref().map(|(_, node)| node),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match self {
            Self::Small(members) => members.iter_mut().find(|(own, _)| **own == *name).map(|(_, node)| node),
            Self::Large(slots) => {
                slots.members.get_mut(*slots.slots.get(name)?)?.as_mut().map(|(_, node)| node)
            }
        }
    }

    /// Puts a member of a new name behind all others.
    pub(super) fn push(&mut self, name: &str, node: Node) {
        match self {
            Self::Small(members) => members.push((name.into(), node)),
            Self::Large(slots) => slots.push(name.into(), node),
        }
        if let Self::Small(members) = self
            && members.len() > SMALL_MAX
        {
            let slots = Slots::new(std::mem::take(members));
            *self = Self::Large(slots.expect("a new name is not among the others"));
        }
    }

    /// Takes a member out; the others keep their order.
    pub(super) fn remove(&mut self, name: &str) -> Option<Node> {
        let removed = match self {
            Self::Small(members) => {
                let index = members.iter().position(|(own, _)| **own == *name)?;
                members.remove(index).1
            }
            Self::Large(slots) => slots.remove(name)?,
        };
        if let Self::Large(slots) = self {
            if slots.slots.len() <= SMALL_AGAIN {
                *self = Self::Small(slots.to_members());
            } else if slots.is_sparse() {
                *slots = Slots::new(slots.to_members()).expect("the names of an object differ");
            }
        }
        Some(removed)
    }

    /// The members in order.
    pub(super) fn to_vec(&self) -> Vec<(&str, &Node)> {
        let mut members = Vec::with_capacity(self.len());
        self.for_each(|name, node| members.push((name, node)));
        members
    }

    /// Whether `holds` for every member; the first for which it does not ends the walk.
    pub(super) fn all(&self, mut holds: impl FnMut(&str, &Node) -> bool) -> bool {
        match self {
            Self::Small(members) => members.iter().all(|(name, node)| holds(name, node)),
            Self::Large(slots) => slots.members.iter().flatten().all(|(name, node)| holds(name, node)),
        }
    }

    /// Calls `visit` with each member in order.
    pub(super) fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a str, &'a Node)) {
        match self {
            Self::Small(members) => members.iter().for_each(|(name, node)| visit(name, node)),
            Self::Large(slots) => slots.members.iter().flatten().for_each(|(name, node)| visit(name, node)),
        }
    }
}
