//! What goes wrong, and at which call.

/// One planned failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The point it strikes at; the first I/O call of a disk is point 1.
    pub at: u64,
    /// What happens there.
    pub kind: FaultKind,
    /// Whether it strikes at every later point too.
    pub forever: bool,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `EIO`; nothing of a write is applied. A failed sync loses what it should have made durable, in
    /// part or wholly and for good: a later sync reports success without it (Rebello et al., "Can
    /// applications recover from fsync failures?", USENIX ATC 2020).
    Error,
    /// `ENOSPC`, where the call needs new space: creating, extending, and renaming, whose name may need a block of its
    /// directory. Other calls are spared.
    NoSpace,
    /// The first sectors of a write are applied, then `EIO`. On other calls the same as `Error`.
    Torn,
    /// The call panics.
    Panic,
    /// Power is gone: this call and all later ones fail with `EIO` until the disk is power cycled.
    PowerCut,
}

/// A plan of failures; the first that applies at a point strikes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Nothing fails.
    pub fn none() -> Self {
        Self::default()
    }

    /// Point `at` fails; later calls work again.
    pub fn once(at: u64, kind: FaultKind) -> Self {
        Self(vec![Fault { at, kind, forever: false }])
    }

    /// Point `at` and every later one fail.
    pub fn forever(at: u64, kind: FaultKind) -> Self {
        Self(vec![Fault { at, kind, forever: true }])
    }

    pub(super) fn at(&self, point: u64, needs_space: bool) -> Option<FaultKind> {
        let strikes = |fault: &&Fault| {
            (fault.at == point || (fault.forever && fault.at < point))
                && (needs_space || fault.kind != FaultKind::NoSpace)
        };
        self.0.iter().find(strikes).map(|fault| fault.kind)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
