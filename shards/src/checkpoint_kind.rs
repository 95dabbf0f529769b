//! What a checkpoint is asked to do beside what every one does.

/// Kinds of checkpoints; one that several have asked for does what each of them wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointKind {
    /// The log goes on in a new segment, so that all before it can be put away.
    pub begins_segment: bool,
    /// All images of runs are copied into one file, whatever else is in the files where they lie.
    pub is_whole: bool,
    /// It is made even if nothing has changed since the last one.
    pub is_unconditional: bool,
}

impl CheckpointKind {
    /// What both want.
    pub(crate) fn and(self, other: CheckpointKind) -> CheckpointKind {
        CheckpointKind {
            begins_segment: self.begins_segment || other.begins_segment,
            is_whole: self.is_whole || other.is_whole,
            is_unconditional: self.is_unconditional || other.is_unconditional,
        }
    }
}
