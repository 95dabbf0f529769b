//! A run driven the way a shard drives it: validate, encode, decode, apply, commit.
#![allow(dead_code, reason = "each test file uses its own part")]
pub(crate) mod history;
pub(crate) mod transaction;
pub(crate) mod world;

use strata_primitives::*;

/// One run with its own clock.
pub(crate) struct Driver {
    pub(crate) state: RunState,
    pub(crate) now: u64,
    pub(crate) boot: u64,
    pub(crate) limits: Limits,
}

pub(crate) fn run_id() -> RunId {
    RunId::from_bytes([1; 16])
}

pub(crate) fn encoded(value: impl Into<Value>) -> Encoded {
    Encoded::from_value(&value.into(), &Limits::default(), || EntityRef::run(run_id())).unwrap()
}

impl Driver {
    /// A run that is not created yet.
    pub(crate) fn missing() -> Self {
        Self { state: RunState::new(run_id(), 7), now: 1_000, boot: 1, limits: Limits::default() }
    }

    /// A run that was created by its first commit.
    pub(crate) fn created() -> Self {
        let mut driver = Self::missing();
        driver.write(Operation::RunCreate { spec: Box::default() });
        driver
    }

    pub(crate) fn context(&self) -> Context {
        Context { now: Timestamp(self.now).max(self.state.timestamp()), boot: self.boot }
    }

    /// Validates `operations` as one commit and applies it through its bytes; the stamp says whether there was one.
    pub(crate) fn batch(
        &mut self,
        operations: Vec<Operation>,
    ) -> Result<(Option<Stamp>, Vec<Answer>), Error> {
        for keys in operations.iter().filter_map(Operation::needs_order) {
            self.state.ensure_order(keys);
        }
        let context = self.context();
        let mut draft = Draft::new(self.state.view());
        let mut answers = Vec::new();
        for operation in operations {
            answers.push(validate(operation, &mut draft, &context, &self.limits)?);
        }
        trim_entries(&mut draft, &context, &EntryRetention::default());
        let mutations = draft.into_mutations();
        if mutations.is_empty() {
            return Ok((None, answers));
        }
        let stamp = Stamp { version: self.state.version().next(), timestamp: context.now };
        self.apply(mutations, stamp);
        Ok((Some(stamp), answers))
    }

    fn apply(&mut self, mutations: Vec<Mutation>, stamp: Stamp) {
        let mut bytes = Vec::new();
        mutations.iter().for_each(|mutation| mutation.encode(&mut bytes));
        let mut input = &bytes[..];
        for mutation in mutations {
            let decoded = Mutation::decode(&mut input).unwrap();
            assert_eq!(decoded, mutation);
            assert_eq!(self.state.check(&decoded), Ok(()));
            let _ = self.state.apply(decoded, stamp);
        }
        self.state.commit(stamp);
    }

    pub(crate) fn try_one(&mut self, operation: Operation) -> Result<(Option<Stamp>, Answer), Error> {
        let (stamp, mut answers) = self.batch(vec![operation])?;
        Ok((stamp, answers.remove(0)))
    }

    /// The effect of a write, and whether it made a commit.
    pub(crate) fn write(&mut self, operation: Operation) -> (bool, Effect) {
        match self.try_one(operation).unwrap() {
            (stamp, Answer::Write(effect)) => (stamp.is_some(), effect),
            (_, read) => panic!("{read:?} is not a write"),
        }
    }

    pub(crate) fn read(&mut self, operation: Operation) -> Outcome {
        match self.try_one(operation).unwrap() {
            (None, Answer::Read(outcome)) => outcome,
            other => panic!("{other:?} is not a read"),
        }
    }

    pub(crate) fn refusal(&mut self, operation: Operation) -> Error {
        self.try_one(operation).expect_err("the operation is refused")
    }

    pub(crate) fn put(&mut self, key: &str, value: i64) {
        assert_eq!(self.write(put(key, value, Deadline::None)), (true, Effect::None));
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<i64> {
        match self.read(Operation::KvGet { key: key.into() }) {
            Outcome::Value(value) => value.map(|value| value.value.as_int().unwrap()),
            other => panic!("{other:?} is not a value"),
        }
    }

    pub(crate) fn count(&mut self, prefix: &str) -> u64 {
        match self.read(Operation::KvCount { prefix: prefix.into() }) {
            Outcome::Count(count) => count.value,
            other => panic!("{other:?} is not a count"),
        }
    }

    pub(crate) fn info(&mut self) -> Option<RunInfo> {
        match self.read(Operation::RunGet) {
            Outcome::Run(info) => info.map(|info| *info),
            other => panic!("{other:?} is not a run"),
        }
    }
}

pub(crate) fn put(key: &str, value: i64, deadline: Deadline) -> Operation {
    Operation::KvPut { key: key.into(), value: Encoded::from_int(value), deadline }
}

pub(crate) fn append(kind: &str, payload: i64) -> Operation {
    Operation::EventAppend { kind: kind.into(), payload: Encoded::from_int(payload), salt: [3; 16] }
}

pub(crate) fn list(prefix: &str, start_after: Option<&str>, limit: usize, direction: Direction) -> Operation {
    let start_after = start_after.map(Into::into);
    Operation::KvList { prefix: prefix.into(), start_after, limit, direction, values: true }
}

/// The id of a trace in tests: made from a number.
pub(crate) fn trace_id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(bytes)
}
