//! The rows of the matrix: what each primitive is to its columns.

use strata::{
    Appended, Batch, Commit, Direction, Durability, EntityRef, KvScan, NewTrace, OperationId, Reads, Result,
    RunId, StagedWrite, TraceContent, TraceEnd, TraceFilter, TraceId, Value, Versioned, Writes,
};

/// One primitive: things that are numbered 0, 1, 2 and so on, and brought into being in that order.
pub(crate) trait Row: Copy + Send + 'static {
    /// Whether its things are the run itself: then there is one, which is there when it has been described.
    const IS_THE_RUN: bool = false;

    /// The address of a thing.
    fn entity(self, run: RunId, number: u64) -> EntityRef;

    /// Brings a thing into being.
    fn create<S: Surface>(self, run: &S, number: u64, value: Value) -> Result<Option<Commit>>;

    /// The same as a part of a batch.
    fn create_in(self, batch: &mut Batch, number: u64, value: Value) -> Result<()>;

    /// Changes a thing, once; `None` where nothing can.
    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>>;

    /// Takes a thing away; `None` where only the end of its run does.
    fn destroy<S: Surface>(self, run: &S, number: u64) -> Option<Result<Option<Commit>>>;

    /// What a thing was last given.
    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>>;

    /// How many things there are, by every list and count there is.
    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>>;

    /// Every read there is, of a thing that is there and of one that is not.
    fn ask_everything(self, run: &dyn Reads) -> Result<()>;
}

/// What a write is answered with, on any surface.
pub(crate) trait Receipt {
    /// The commit, where the write is one already.
    fn commit(&self) -> Option<Commit>;
}

/// Whatever writes.
pub(crate) trait Surface: Writes<Receipt: Receipt, Appended: Receipt> {}

impl<W: Writes<Receipt: Receipt, Appended: Receipt>> Surface for W {}

impl Receipt for Commit {
    fn commit(&self) -> Option<Commit> {
        Some(*self)
    }
}

impl Receipt for Appended {
    fn commit(&self) -> Option<Commit> {
        Some(self.commit)
    }
}

impl Receipt for StagedWrite {
    fn commit(&self) -> Option<Commit> {
        None
    }
}

/// The commit of a write that may have had nothing to do.
fn commit_of<R: Receipt>(receipt: Option<R>) -> Option<Commit> {
    receipt.and_then(|receipt| receipt.commit())
}

/// A number that is true at the version of something else.
fn counted(len: usize, version: strata::Version, timestamp: strata::Timestamp) -> Versioned<u64> {
    Versioned { value: len as u64, version, timestamp }
}

fn name(number: u64) -> String {
    format!("thing-{number}")
}

fn all() -> KvScan {
    KvScan::default()
}

#[derive(Clone, Copy)]
pub(crate) struct Kv;

impl Row for Kv {
    fn entity(self, run: RunId, number: u64) -> EntityRef {
        EntityRef::kv(run, name(number))
    }

    fn create<S: Surface>(self, run: &S, number: u64, value: Value) -> Result<Option<Commit>> {
        Ok(run.put(&name(number), value)?.commit())
    }

    fn create_in(self, batch: &mut Batch, number: u64, value: Value) -> Result<()> {
        batch.put(&name(number), value).map(drop)
    }

    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>> {
        Some(self.create(run, number, value))
    }

    fn destroy<S: Surface>(self, run: &S, number: u64) -> Option<Result<Option<Commit>>> {
        Some(run.delete(&name(number)).map(commit_of))
    }

    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>> {
        run.get(&name(number))
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let (keys, values) = (run.list(&all())?, run.list_values(&all())?);
        Ok(vec![
            run.count("")?,
            run.count("thing")?,
            counted(keys.keys.len(), keys.version, keys.timestamp),
            counted(values.items.len(), values.version, values.timestamp),
        ])
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        for key in [name(0), name(99)] {
            run.get(&key)?;
            run.exists(&key)?;
            run.ttl(&key)?;
        }
        run.get_many(&["thing-0", "thing-99"])?;
        self.counts(run).map(drop)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Event;

impl Row for Event {
    fn entity(self, run: RunId, number: u64) -> EntityRef {
        EntityRef::event(run, number)
    }

    fn create<S: Surface>(self, run: &S, _number: u64, value: Value) -> Result<Option<Commit>> {
        Ok(run.append("step", value)?.commit())
    }

    fn create_in(self, batch: &mut Batch, _number: u64, value: Value) -> Result<()> {
        batch.append("step", value).map(drop)
    }

    fn evolve<S: Surface>(self, _run: &S, _number: u64, _value: Value) -> Option<Result<Option<Commit>>> {
        None
    }

    fn destroy<S: Surface>(self, _run: &S, _number: u64) -> Option<Result<Option<Commit>>> {
        None
    }

    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>> {
        let versioned = |event: strata::Event| {
            let strata::Event { payload, version, timestamp, .. } = event;
            Versioned { value: payload, version, timestamp }
        };
        Ok(run.event(number)?.map(versioned))
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let pages = [
            run.events(0, 9, Direction::Forward)?,
            run.last_events(9)?,
            run.events_by_type("step", 0, 9, Direction::Forward)?,
        ];
        let chain = run.verify_chain()?;
        let mut counts = vec![run.event_count()?, run.event_count_of("step")?];
        counts.extend(pages.map(|page| counted(page.events.len(), page.version, page.timestamp)));
        counts.push(counted(chain.length as usize, chain.version, chain.timestamp));
        Ok(counts)
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        run.event(0)?;
        run.event(99)?;
        run.first_event()?;
        run.first_trace()?;
        run.event_head()?;
        run.event_head_of("step")?;
        run.event_head_of("other")?;
        self.counts(run).map(drop)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Cell;

impl Row for Cell {
    fn entity(self, run: RunId, number: u64) -> EntityRef {
        EntityRef::cell(run, name(number))
    }

    fn create<S: Surface>(self, run: &S, number: u64, value: Value) -> Result<Option<Commit>> {
        Ok(run.cell_init(&name(number), value)?.commit())
    }

    fn create_in(self, batch: &mut Batch, number: u64, value: Value) -> Result<()> {
        batch.cell_init(&name(number), value).map(drop)
    }

    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>> {
        Some(run.cell_transition(&name(number), |_| Ok(value.clone())).map(|(_, receipt)| receipt.commit()))
    }

    fn destroy<S: Surface>(self, run: &S, number: u64) -> Option<Result<Option<Commit>>> {
        Some(run.cell_delete(&name(number)).map(commit_of))
    }

    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>> {
        run.cell_read(&name(number))
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let page = run.cell_list(&all())?;
        Ok(vec![counted(page.items.len(), page.version, page.timestamp)])
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        for cell in [name(0), name(99)] {
            run.cell_read(&cell)?;
            run.cell_ttl(&cell)?;
        }
        self.counts(run).map(drop)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Trace;

impl Trace {
    fn id(number: u64) -> TraceId {
        TraceId::from_bytes([number as u8 + 1; 16])
    }

    /// A tool call that has begun.
    fn call(number: u64, arguments: Value) -> NewTrace {
        let content = TraceContent::ToolCall { name: "search".into(), arguments, result: None, error: None };
        NewTrace::new(Trace::id(number), content)
    }
}

impl Row for Trace {
    fn entity(self, run: RunId, number: u64) -> EntityRef {
        EntityRef::trace(run, Trace::id(number))
    }

    fn create<S: Surface>(self, run: &S, number: u64, value: Value) -> Result<Option<Commit>> {
        Ok(run.trace_begin(Trace::call(number, value))?.1.commit())
    }

    fn create_in(self, batch: &mut Batch, number: u64, value: Value) -> Result<()> {
        batch.trace_begin(Trace::call(number, value)).map(drop)
    }

    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>> {
        let end = TraceEnd { result: Some(value), ..TraceEnd::default() };
        Some(run.trace_end(Trace::id(number), end).map(|receipt| receipt.commit()))
    }

    fn destroy<S: Surface>(self, _run: &S, _number: u64) -> Option<Result<Option<Commit>>> {
        None
    }

    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>> {
        let Some(trace) = run.trace_get(Trace::id(number))? else { return Ok(None) };
        let TraceContent::ToolCall { arguments, result, .. } = trace.content else {
            panic!("{trace:?} is a tool call")
        };
        let (version, timestamp) = (trace.version, trace.timestamp);
        Ok(Some(Versioned { value: result.unwrap_or(arguments), version, timestamp }))
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let page = run.trace_list(&TraceFilter::default(), None, 9, Direction::Forward)?;
        let page = counted(page.traces.len(), page.version, page.timestamp);
        Ok(vec![run.trace_count(None)?, run.trace_count(Some("tool_call"))?, page])
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        for id in [Trace::id(0), Trace::id(99)] {
            run.trace_get(id)?;
            run.trace_children(id, None, 9)?;
            run.trace_tree(id, 9)?;
        }
        self.counts(run).map(drop)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Json;

impl Row for Json {
    fn entity(self, run: RunId, number: u64) -> EntityRef {
        EntityRef::json(run, name(number))
    }

    fn create<S: Surface>(self, run: &S, number: u64, value: Value) -> Result<Option<Commit>> {
        Ok(run.json_create(&name(number), value)?.commit())
    }

    fn create_in(self, batch: &mut Batch, number: u64, value: Value) -> Result<()> {
        batch.json_create(&name(number), value).map(drop)
    }

    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>> {
        Some(run.json_set(&name(number), "", value).map(|receipt| receipt.commit()))
    }

    fn destroy<S: Surface>(self, run: &S, number: u64) -> Option<Result<Option<Commit>>> {
        Some(run.json_destroy(&name(number)).map(commit_of))
    }

    fn read(self, run: &dyn Reads, number: u64) -> Result<Option<Versioned<Value>>> {
        run.json_get(&name(number), "")
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let page = run.json_list(&all())?;
        Ok(vec![counted(page.keys.len(), page.version, page.timestamp)])
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        for document in [name(0), name(99)] {
            run.json_get(&document, "")?;
            run.json_get(&document, "/member")?;
            run.json_query(&document, "$")?;
        }
        self.counts(run).map(drop)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Run;

impl Row for Run {
    const IS_THE_RUN: bool = true;

    fn entity(self, run: RunId, _number: u64) -> EntityRef {
        EntityRef::run(run)
    }

    fn create<S: Surface>(self, run: &S, _number: u64, value: Value) -> Result<Option<Commit>> {
        run.set_metadata(value).map(commit_of)
    }

    fn create_in(self, batch: &mut Batch, _number: u64, value: Value) -> Result<()> {
        batch.set_metadata(value).map(drop)
    }

    fn evolve<S: Surface>(self, run: &S, number: u64, value: Value) -> Option<Result<Option<Commit>>> {
        Some(self.create(run, number, value))
    }

    fn destroy<S: Surface>(self, _run: &S, _number: u64) -> Option<Result<Option<Commit>>> {
        None
    }

    fn read(self, run: &dyn Reads, _number: u64) -> Result<Option<Versioned<Value>>> {
        let info = run.info()?;
        let (value, version, timestamp) = (info.metadata, info.version, info.timestamp);
        Ok((value != Value::Null).then_some(Versioned { value, version, timestamp }))
    }

    fn counts(self, run: &dyn Reads) -> Result<Vec<Versioned<u64>>> {
        let info = run.info()?;
        let described = usize::from(info.metadata != Value::Null);
        Ok(vec![counted(described, info.version, info.timestamp)])
    }

    fn ask_everything(self, run: &dyn Reads) -> Result<()> {
        run.info()?;
        run.receipt(OperationId([7; 16])).map(drop)
    }
}

/// Every promise that a write may be asked for.
pub(crate) const DURABILITIES: [Durability; 3] =
    [Durability::InMemory, Durability::Buffered, Durability::Strict];
