//! One run at one version, in the plainest form.

use std::collections::BTreeMap;

use strata::{
    Commit, Condition, Deadline, Effect, EntityRef, ErrorKind, Event, OperationId, RunId, RunStatus, Stamp,
    Timestamp, Trace, Value, Version,
};

use crate::document::Document;
use crate::write::Write;

/// Everything that a run holds. A run that does not exist has no `meta` and keeps its stamp and its receipts.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) id: RunId,
    pub(crate) stamp: Stamp,
    pub(crate) meta: Option<Meta>,
    pub(crate) keys: BTreeMap<String, Entry>,
    pub(crate) cells: BTreeMap<String, Entry>,
    pub(crate) documents: BTreeMap<String, Document>,
    /// Their hashes are left zero: salts are drawn anew each time.
    pub(crate) events: Vec<Event>,
    pub(crate) traces: Vec<Trace>,
    pub(crate) receipts: BTreeMap<[u8; 16], (Commit, Vec<Effect>)>,
}

/// What is known of a run beside its content.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Value,
    pub(crate) status: RunStatus,
    pub(crate) created: Timestamp,
    pub(crate) boot: u64,
}

/// What a key or a cell holds; it stays after its deadline until the cleaner comes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) stamp: Stamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Under which commit something is written, and in which boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) stamp: Stamp,
    pub(crate) boot: u64,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Done {
    pub(crate) changed: bool,
    pub(crate) effect: Effect,
}

/// Why a write or a read is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) entity: EntityRef,
}

/// The two kinds of things with a name, a value and a deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Named {
    Key,
    Cell,
}

pub(crate) type Decided = Result<Done, Refusal>;

const BLIND: Done = Done { changed: true, effect: Effect::None };

impl Entry {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now)
    }
}

impl State {
    pub(crate) fn missing(id: RunId) -> State {
        State {
            id,
            stamp: Stamp::default(),
            meta: None,
            keys: BTreeMap::new(),
            cells: BTreeMap::new(),
            documents: BTreeMap::new(),
            events: Vec::new(),
            traces: Vec::new(),
            receipts: BTreeMap::new(),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.stamp.version.0
    }

    pub(crate) fn is_active(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.status == RunStatus::Active)
    }

    /// The commit that creates the run.
    pub(crate) fn create(&mut self, name: &str, at: At) {
        self.meta = Some(Meta {
            name: name.to_owned(),
            tags: Vec::new(),
            metadata: Value::Null,
            status: RunStatus::Active,
            created: at.stamp.timestamp,
            boot: at.boot,
        });
        self.stamp = at.stamp;
    }

    /// The commit that deletes it.
    pub(crate) fn destroy(&mut self, stamp: Stamp) {
        *self = State { receipts: std::mem::take(&mut self.receipts), stamp, ..State::missing(self.id) };
    }

    pub(crate) fn named(&self, kind: Named) -> &BTreeMap<String, Entry> {
        match kind {
            Named::Key => &self.keys,
            Named::Cell => &self.cells,
        }
    }

    pub(crate) fn live(&self, kind: Named, name: &str, now: Timestamp) -> Option<&Entry> {
        self.named(kind).get(name).filter(|entry| entry.is_live(now))
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.keys.values().chain(self.cells.values()).any(|entry| !entry.is_live(now))
    }

    /// The commit of the cleaner.
    pub(crate) fn clean(&mut self, stamp: Stamp) {
        self.keys.retain(|_, entry| entry.is_live(stamp.timestamp));
        self.cells.retain(|_, entry| entry.is_live(stamp.timestamp));
        self.stamp = stamp;
    }

    /// Does a write, or refuses it and stays as it is. The stamp of the run moves with the first change.
    pub(crate) fn apply(&mut self, write: &Write, at: At) -> Decided {
        self.admit(write)?;
        let before = self.clone();
        match self.decide(write, at) {
            Ok(done) => {
                if done.changed {
                    self.stamp = at.stamp;
                }
                Ok(done)
            }
            Err(refusal) => {
                *self = before;
                Err(refusal)
            }
        }
    }

    /// Does several writes as one commit, or none of them.
    pub(crate) fn apply_all(&mut self, writes: &[Write], at: At) -> Result<(bool, Vec<Effect>), Refusal> {
        let before = self.clone();
        let (mut changed, mut effects) = (false, Vec::new());
        for write in writes {
            match self.apply(write, at) {
                Ok(done) => {
                    changed |= done.changed;
                    effects.push(done.effect);
                }
                Err(refusal) => {
                    *self = before;
                    return Err(refusal);
                }
            }
        }
        Ok((changed, effects))
    }

    fn admit(&self, write: &Write) -> Result<(), Refusal> {
        match &self.meta {
            None => Err(self.of_run(ErrorKind::NotFound)),
            Some(meta) if meta.status != RunStatus::Active && !write.is_about_run() => {
                Err(self.of_run(ErrorKind::RunClosed))
            }
            Some(_) => Ok(()),
        }
    }

    fn decide(&mut self, write: &Write, at: At) -> Decided {
        let now = at.stamp.timestamp;
        match write {
            Write::Put { key, value, deadline } => self.put(Named::Key, key, value, *deadline, at),
            Write::PutMany(entries) => {
                for (key, value) in entries {
                    self.put(Named::Key, key, value, Deadline::None, at)?;
                }
                Ok(Done { changed: !entries.is_empty(), effect: Effect::None })
            }
            Write::PutIf { key, value, condition } => {
                let expected = match condition {
                    Condition::Absent => Version::NEVER,
                    Condition::Version(version) => *version,
                };
                self.expect(Named::Key, key, expected, at)?;
                self.put(Named::Key, key, value, Deadline::None, at)
            }
            Write::Delete(key) => Ok(self.delete(Named::Key, key, now)),
            Write::DeletePrefix(prefix) => {
                let count = self.keys.len();
                self.keys.retain(|key, entry| !key.starts_with(prefix.as_str()) || !entry.is_live(now));
                let count = (count - self.keys.len()) as u64;
                Ok(Done { changed: count > 0, effect: Effect::Count(count) })
            }
            Write::Increment { key, by } => self.increment(key, *by, at),
            Write::SetDeadline { key, deadline } => {
                let deadline = self.resolve(Named::Key, key, Deadline::At(*deadline), now)?;
                Ok(self.set_deadline(key, deadline, at))
            }
            Write::ClearDeadline(key) => Ok(self.set_deadline(key, None, at)),
            Write::Append { kind, payload } => Ok(self.append(&[(kind.clone(), payload.clone())], at)),
            Write::AppendMany(events) => Ok(self.append(events, at)),
            Write::CellInit { name, value, deadline } => {
                if self.live(Named::Cell, name, now).is_some() {
                    return Err(self.of_named(Named::Cell, name, ErrorKind::AlreadyExists));
                }
                self.put(Named::Cell, name, value, *deadline, at)
            }
            Write::CellSet { name, value, deadline } => self.put(Named::Cell, name, value, *deadline, at),
            Write::CellCas { name, expected, value, deadline } => {
                self.expect(Named::Cell, name, *expected, at)?;
                self.put(Named::Cell, name, value, *deadline, at)
            }
            Write::CellDelete(name) => Ok(self.delete(Named::Cell, name, now)),
            Write::Status(status) => self.update_status(*status, at.boot),
            Write::Tags(tags) => {
                let mut kept: Vec<String> = Vec::new();
                for tag in tags {
                    if !kept.contains(tag) {
                        kept.push(tag.clone());
                    }
                }
                self.meta_mut().tags = kept;
                Ok(BLIND)
            }
            Write::Metadata(metadata) => {
                self.meta_mut().metadata = metadata.clone();
                Ok(BLIND)
            }
            Write::Record(_) | Write::Begin(_) | Write::End { .. } => self.decide_trace(write, at),
            document => self.decide_json(document, at),
        }
    }

    fn put(&mut self, kind: Named, name: &str, value: &Value, deadline: Deadline, at: At) -> Decided {
        let deadline = self.resolve(kind, name, deadline, at.stamp.timestamp)?;
        let entry = Entry { value: value.clone(), stamp: at.stamp, deadline };
        self.named_mut(kind).insert(name.to_owned(), entry);
        Ok(BLIND)
    }

    fn resolve(
        &self,
        kind: Named,
        name: &str,
        deadline: Deadline,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        match deadline {
            Deadline::None => Ok(None),
            Deadline::In(ttl) => Ok(Some(Timestamp(now.0 + ttl.as_micros() as u64))),
            Deadline::At(deadline) if deadline > now => Ok(Some(deadline)),
            Deadline::At(_) => Err(self.of_named(kind, name, ErrorKind::InvalidArgument)),
        }
    }

    fn expect(&self, kind: Named, name: &str, expected: Version, at: At) -> Result<(), Refusal> {
        let found = self.live(kind, name, at.stamp.timestamp);
        let found = found.map_or(Version::NEVER, |entry| entry.stamp.version);
        let expected = if expected == Version::PENDING { at.stamp.version } else { expected };
        if found == expected { Ok(()) } else { Err(self.of_named(kind, name, ErrorKind::Conflict)) }
    }

    fn delete(&mut self, kind: Named, name: &str, now: Timestamp) -> Done {
        let existed = self.live(kind, name, now).is_some();
        if existed {
            self.named_mut(kind).remove(name);
        }
        Done { changed: existed, effect: Effect::Existed(existed) }
    }

    fn increment(&mut self, key: &str, by: i64, at: At) -> Decided {
        let (number, deadline) = match self.live(Named::Key, key, at.stamp.timestamp) {
            None => (0, None),
            Some(entry) => match entry.value {
                Value::Int(number) => (number, entry.deadline),
                _ => return Err(self.of_named(Named::Key, key, ErrorKind::WrongType)),
            },
        };
        let Some(sum) = number.checked_add(by) else {
            return Err(self.of_named(Named::Key, key, ErrorKind::InvalidArgument));
        };
        self.keys.insert(key.to_owned(), Entry { value: Value::Int(sum), stamp: at.stamp, deadline });
        Ok(Done { changed: true, effect: Effect::Integer(sum) })
    }

    fn set_deadline(&mut self, key: &str, deadline: Option<Timestamp>, at: At) -> Done {
        let live = self.keys.get_mut(key).filter(|entry| entry.is_live(at.stamp.timestamp));
        let existed = live.is_some();
        let changed = live.is_some_and(|entry| {
            let changes = deadline.is_some() || entry.deadline.is_some();
            if changes {
                (entry.deadline, entry.stamp) = (deadline, at.stamp);
            }
            changes
        });
        Done { changed, effect: Effect::Existed(existed) }
    }

    fn append(&mut self, events: &[(String, Value)], at: At) -> Done {
        let first = self.events.len() as u64;
        for (kind, payload) in events {
            let (sequence, kind, payload) = (self.events.len() as u64, kind.clone(), payload.clone());
            let Stamp { version, timestamp } = at.stamp;
            self.events.push(Event { sequence, kind, payload, version, timestamp, hash: [0; 32] });
        }
        let count = events.len() as u64;
        Done { changed: count > 0, effect: Effect::Sequence { first, count } }
    }

    fn update_status(&mut self, next: RunStatus, boot: u64) -> Decided {
        use RunStatus::{Active, Archived, Cancelled, Completed, Failed, Paused};
        let meta = self.meta.as_mut().expect("a run that is missing was refused");
        let may_follow = match (meta.status, next) {
            (Active, Active) => {
                let changed = std::mem::replace(&mut meta.boot, boot) != boot;
                return Ok(Done { changed, effect: Effect::None });
            }
            (from, to) if from == to => return Ok(Done { changed: false, effect: Effect::None }),
            (Active, _) | (Paused, Active | Cancelled | Archived) => true,
            (Completed | Failed | Cancelled, Archived) => true,
            _ => false,
        };
        if !may_follow {
            let paused = meta.status == Paused;
            let kind = if paused { ErrorKind::InvalidArgument } else { ErrorKind::RunClosed };
            return Err(self.of_run(kind));
        }
        meta.status = next;
        if next == Active {
            meta.boot = boot;
        }
        Ok(BLIND)
    }

    fn meta_mut(&mut self) -> &mut Meta {
        self.meta.as_mut().expect("a run that is missing was refused")
    }

    fn named_mut(&mut self, kind: Named) -> &mut BTreeMap<String, Entry> {
        match kind {
            Named::Key => &mut self.keys,
            Named::Cell => &mut self.cells,
        }
    }

    fn of_named(&self, kind: Named, name: &str, error: ErrorKind) -> Refusal {
        let entity = match kind {
            Named::Key => EntityRef::kv(self.id, name),
            Named::Cell => EntityRef::cell(self.id, name),
        };
        Refusal { kind: error, entity }
    }

    pub(crate) fn of_run(&self, kind: ErrorKind) -> Refusal {
        Refusal { kind, entity: EntityRef::run(self.id) }
    }

    /// What the write with an operation id was answered, if it has happened.
    pub(crate) fn receipt(&self, id: OperationId) -> Option<&(Commit, Vec<Effect>)> {
        self.receipts.get(&id.0)
    }
}
