//! A surface made outside of the project: it notes each operation and passes it on.

use std::cell::RefCell;

use strata::{Appended, Commit, Effect, Limits, Operation, Outcome, Reads, Result, RunHandle, RunId, Writes};

/// Asks and writes through a handle, as a client of a server would through its connection.
pub(crate) struct Relay<'r> {
    run: &'r RunHandle,
    asked: RefCell<Vec<Operation>>,
    written: RefCell<Vec<Operation>>,
}

impl Relay<'_> {
    pub(crate) fn to(run: &RunHandle) -> Relay<'_> {
        Relay { run, asked: RefCell::default(), written: RefCell::default() }
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Operation> {
        self.asked.borrow().clone()
    }

    /// What it was given to write, in order.
    pub(crate) fn written(&self) -> Vec<Operation> {
        self.written.borrow().clone()
    }
}

impl Reads for Relay<'_> {
    fn run_id(&self) -> RunId {
        self.run.run_id()
    }

    fn limits(&self) -> &Limits {
        self.run.limits()
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        self.asked.borrow_mut().push(operation.clone());
        self.run.ask(operation)
    }
}

impl Writes for Relay<'_> {
    type Receipt = Commit;
    type Appended = Appended;

    fn write(&self, operation: Operation) -> Result<(Option<Commit>, Effect)> {
        self.written.borrow_mut().push(operation.clone());
        self.run.write(operation)
    }

    fn write_events(&self, operation: Operation) -> Result<Option<Appended>> {
        self.written.borrow_mut().push(operation.clone());
        self.run.write_events(operation)
    }
}
