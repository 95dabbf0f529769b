//! What is compared.
use crate::run_state::RunState;
use crate::version::Timestamp;

/// A state as its reader sees it: what has expired by `now` is not there.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The state.
    pub state: &'a RunState,
    /// When deadlines are judged.
    pub now: Timestamp,
}

/// At the time of its newest commit.
impl<'a> From<&'a RunState> for Seen<'a> {
    fn from(state: &'a RunState) -> Self {
        Self { state, now: state.timestamp() }
    }
}
