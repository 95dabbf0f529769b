//! A JSON document as a plain tree with a version in every node, and what writes do to it.

use strata::{EntityRef, ErrorKind, Stamp, Value, Version};

use crate::state::{At, Decided, Done, Refusal, State};
use crate::write::Write;

/// A document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    root: Node,
}

#[derive(Clone, Debug)]
struct Node {
    /// The commit that wrote this node itself; of an array also the one that moved its items.
    written: Stamp,
    /// The newest commit that changed anything here or below.
    newest: Stamp,
    tree: Tree,
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(Value),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Where something is to be put.
enum Spot {
    Root,
    Member(String),
    Item(usize),
    End,
}

type Tried<T> = Result<T, ErrorKind>;

impl Node {
    fn new(value: &Value, stamp: Stamp) -> Node {
        let tree = match value {
            Value::Array(items) => Tree::Array(items.iter().map(|item| Node::new(item, stamp)).collect()),
            Value::Object(members) => Tree::Object(
                members.iter().map(|(name, item)| (name.clone(), Node::new(item, stamp))).collect(),
            ),
            leaf => Tree::Leaf(leaf.clone()),
        };
        Node { written: stamp, newest: stamp, tree }
    }

    fn value(&self) -> Value {
        match &self.tree {
            Tree::Leaf(value) => value.clone(),
            Tree::Array(items) => Value::Array(items.iter().map(Node::value).collect()),
            Tree::Object(members) => {
                Value::Object(members.iter().map(|(name, node)| (name.clone(), node.value())).collect())
            }
        }
    }

    fn child(&self, token: &str) -> Option<&Node> {
        match &self.tree {
            Tree::Leaf(_) => None,
            Tree::Array(items) => items.get(index_of(token)?),
            Tree::Object(members) => members.iter().find(|(name, _)| name == token).map(|(_, node)| node),
        }
    }

    fn child_mut(&mut self, token: &str) -> Option<&mut Node> {
        match &mut self.tree {
            Tree::Leaf(_) => None,
            Tree::Array(items) => items.get_mut(index_of(token)?),
            Tree::Object(members) => members.iter_mut().find(|(name, _)| name == token).map(|(_, node)| node),
        }
    }

    fn places(&self, path: &str, out: &mut Vec<String>) {
        out.push(path.to_owned());
        match &self.tree {
            Tree::Leaf(_) => {}
            Tree::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.places(&format!("{path}/{index}"), out);
                }
            }
            Tree::Object(members) => {
                for (name, node) in members {
                    node.places(&format!("{path}/{}", escaped(name)), out);
                }
            }
        }
    }
}

impl Document {
    pub(crate) fn new(value: &Value, stamp: Stamp) -> Document {
        Document { root: Node::new(value, stamp) }
    }

    pub(crate) fn newest(&self) -> Stamp {
        self.root.newest
    }

    pub(crate) fn value(&self) -> Value {
        self.root.value()
    }

    /// What is at a place, and the newest commit of the place, its inside, and the containers written around it.
    pub(crate) fn get(&self, path: &str) -> Option<(Value, Stamp)> {
        let (mut node, mut around) = (&self.root, Stamp::default());
        for token in tokens(path) {
            around = newer(around, node.written);
            node = node.child(&token)?;
        }
        Some((node.value(), newer(around, node.newest)))
    }

    /// How many segments of a path lead somewhere, and the newest commit of what is there or of a container written
    /// around it: every write to an overlapping place changes this, also where nothing is.
    pub(crate) fn footing(&self, path: &str) -> (usize, Version) {
        let (mut node, mut around) = (&self.root, Stamp::default());
        let tokens = tokens(path);
        for (depth, token) in tokens.iter().enumerate() {
            around = newer(around, node.written);
            match node.child(token) {
                Some(child) => node = child,
                None => return (depth, around.version),
            }
        }
        (tokens.len(), newer(around, node.newest).version)
    }

    /// Every place that there is.
    pub(crate) fn places(&self) -> Vec<String> {
        let mut places = Vec::new();
        self.root.places("", &mut places);
        places
    }

    /// The value at a place that must be there.
    pub(crate) fn located(&self, path: &str) -> Tried<Value> {
        Ok(self.locate(&tokens(path))?.value())
    }

    /// Puts a value at a place; `shifts` says whether an item that is there moves back.
    pub(crate) fn put(&mut self, path: &str, value: &Value, shifts: bool, stamp: Stamp) -> Tried<()> {
        let tokens = tokens(path);
        let spot = self.spot(&tokens)?;
        if let Spot::Root = spot {
            self.root = Node::new(value, stamp);
            return Ok(());
        }
        let around = self.touch(&tokens[..tokens.len() - 1], stamp);
        let (node, written) = (Node::new(value, stamp), &mut around.written);
        match (&mut around.tree, spot) {
            (Tree::Object(members), Spot::Member(name)) => {
                match members.iter_mut().find(|(own, _)| *own == name) {
                    Some((_, held)) => *held = node,
                    None => members.push((name, node)),
                }
            }
            (Tree::Array(items), Spot::Item(index)) if !shifts => items[index] = node,
            (Tree::Array(items), Spot::Item(index)) => {
                *written = stamp;
                items.insert(index, node);
            }
            (Tree::Array(items), Spot::End) => {
                *written = stamp;
                items.push(node);
            }
            _ => unreachable!("a spot is found in its container"),
        }
        Ok(())
    }

    /// Takes out what is at a place; `false` when nothing is.
    pub(crate) fn remove(&mut self, path: &str, stamp: Stamp) -> Tried<bool> {
        let tokens = tokens(path);
        let Some((last, around)) = tokens.split_last() else { return Err(ErrorKind::InvalidArgument) };
        if self.locate(&tokens).is_err() {
            return Ok(false);
        }
        let around = self.touch(around, stamp);
        match &mut around.tree {
            Tree::Object(members) => members.retain(|(name, _)| name != last),
            Tree::Array(items) => {
                around.written = stamp;
                items.remove(index_of(last).expect("an item that was located has an index"));
            }
            Tree::Leaf(_) => unreachable!("what was located lies in a container"),
        }
        Ok(true)
    }

    fn append(&mut self, path: &str, value: &Value, stamp: Stamp) -> Tried<()> {
        match self.locate(&tokens(path))?.tree {
            Tree::Array(_) => self.put(&format!("{path}/-"), value, true, stamp),
            _ => Err(ErrorKind::WrongType),
        }
    }

    fn locate(&self, tokens: &[String]) -> Tried<&Node> {
        let mut node = &self.root;
        for token in tokens {
            node = node.child(token).ok_or(match &node.tree {
                Tree::Leaf(_) => ErrorKind::WrongType,
                Tree::Array(_) if token != "-" && index_of(token).is_none() => ErrorKind::InvalidArgument,
                _ => ErrorKind::NotFound,
            })?;
        }
        Ok(node)
    }

    fn spot(&self, tokens: &[String]) -> Tried<Spot> {
        let Some((last, around)) = tokens.split_last() else { return Ok(Spot::Root) };
        match &self.locate(around)?.tree {
            Tree::Leaf(_) => Err(ErrorKind::WrongType),
            Tree::Object(_) => Ok(Spot::Member(last.clone())),
            Tree::Array(_) if last == "-" => Ok(Spot::End),
            Tree::Array(items) => match index_of(last) {
                Some(index) if index < items.len() => Ok(Spot::Item(index)),
                Some(index) if index == items.len() => Ok(Spot::End),
                _ => Err(ErrorKind::InvalidArgument),
            },
        }
    }

    /// The node at a place that is there; it and everything around it is changed by `stamp`.
    fn touch(&mut self, tokens: &[String], stamp: Stamp) -> &mut Node {
        let mut node = &mut self.root;
        node.newest = stamp;
        for token in tokens {
            node = node.child_mut(token).expect("the place was located");
            node.newest = stamp;
        }
        node
    }
}

impl State {
    pub(crate) fn decide_json(&mut self, write: &Write, at: At) -> Decided {
        let stamp = at.stamp;
        let name = write.document().expect("what is left are writes of documents").to_owned();
        let refused = Refusal { kind: ErrorKind::NotFound, entity: EntityRef::json(self.id, name.as_str()) };
        let refuse = |kind| Refusal { kind, ..refused.clone() };
        match (write, self.documents.get_mut(&name)) {
            (Write::JsonCreate { .. }, Some(_)) => return Err(refuse(ErrorKind::AlreadyExists)),
            (Write::JsonCreate { value, .. }, None) => {
                self.documents.insert(name, Document::new(value, stamp));
                return Ok(Done { changed: true, effect: strata::Effect::None });
            }
            (Write::JsonDestroy(_), found) => {
                let existed = found.is_some();
                self.documents.remove(&name);
                return Ok(Done { changed: existed, effect: strata::Effect::Existed(existed) });
            }
            (Write::JsonCas { expected, .. }, found) => {
                let expected = if *expected == Version::PENDING { stamp.version } else { *expected };
                let found = found.map_or(Version::NEVER, |document| document.newest().version);
                if found != expected {
                    return Err(refuse(ErrorKind::Conflict));
                }
            }
            _ => {}
        }
        let document = self.documents.get_mut(&name).ok_or_else(|| refuse(ErrorKind::NotFound))?;
        change(document, write, stamp).map_err(refuse)
    }
}

fn change(document: &mut Document, write: &Write, stamp: Stamp) -> Tried<Done> {
    let blind = |changed| Done { changed, effect: strata::Effect::None };
    match write {
        Write::JsonSet { path, value, .. } | Write::JsonCas { path, value, .. } => {
            document.put(path, value, false, stamp).map(|()| blind(true))
        }
        Write::JsonAppend { path, value, .. } => document.append(path, value, stamp).map(|()| blind(true)),
        Write::JsonDelete { path, .. } => {
            let existed = document.remove(path, stamp)?;
            Ok(Done { changed: existed, effect: strata::Effect::Existed(existed) })
        }
        Write::JsonPatch { patch, .. } => {
            let mut changed = false;
            for step in patch {
                changed |= step.take(document, stamp)?;
            }
            Ok(blind(changed))
        }
        Write::JsonMerge { path, patch, .. } => document.merge(path, patch, stamp).map(blind),
        other => unreachable!("{other:?} changes no document"),
    }
}

pub(crate) fn newer(left: Stamp, right: Stamp) -> Stamp {
    if right.version > left.version { right } else { left }
}

fn tokens(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// A member's name as a segment of a JSON Pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn index_of(token: &str) -> Option<usize> {
    let is_index =
        token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if is_index { token.parse().ok() } else { None }
}
