//! What went wrong, in a form that tells the caller what to do next.
use crate::entity::EntityRef;
use crate::version::Version;
use std::fmt;
use std::sync::Arc;

/// Why an operation was refused or could not be done.
///
/// One word wide, so that a `Result` costs a successful path nothing.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    entity: Option<EntityRef>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; the message begins in lower case, carries the values and ends without a full stop.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), entity: None, source: None }))
    }

    /// `VersionNotFound`: what a run says whose newest commit is `newest` when it is asked for another.
    #[cold]
    pub fn version_not_found(newest: Version, asked: Version) -> Self {
        let message = format!("the run has versions 1 to {newest}, not {asked}");
        Self::new(ErrorKind::VersionNotFound, message)
    }

    /// The same error, naming the thing it is about.
    #[cold]
    pub fn with_entity(mut self, entity: EntityRef) -> Self {
        self.0.entity = Some(entity);
        self
    }

    /// The same error, its message preceded by where it happened.
    #[cold]
    pub fn with_context(mut self, place: &str) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same error, keeping what caused it.
    #[cold]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without kind and entity.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The thing the error is about, where there is one.
    pub fn entity(&self) -> Option<&EntityRef> {
        self.0.entity.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.0.kind.name(), self.0.message)?;
        match &self.0.entity {
            Some(entity) => write!(formatter, " ({entity})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)?;
        match &self.0.source {
            Some(source) => write!(formatter, ", because {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// What a caller can do about an error. Codes are stable and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorKind {
    /// The run, or what a write builds on, was never created, or was deleted. Create it first.
    NotFound = 1,
    /// The thing to be created is there already. Use it, or choose another name.
    AlreadyExists = 2,
    /// Another commit wrote first, or the expected version is not the current one. Read again and retry.
    Conflict = 3,
    /// The shard's mailbox is full. Nothing happened; retry with backoff.
    Busy = 4,
    /// There is no space for the write. Nothing happened; make space and retry.
    Full = 5,
    /// The request breaks a limit or a rule named in the message. Change the request.
    InvalidArgument = 6,
    /// The stored value is of another kind than the operation needs.
    WrongType = 7,
    /// The run is paused or finished and takes no writes. Resume it, or begin another.
    RunClosed = 8,
    /// The run has no such version.
    VersionNotFound = 9,
    /// The version existed, but retention has released it.
    HistoryTrimmed = 10,
    /// A repeated effect differs from what was recorded.
    Diverged = 11,
    /// Another process owns the store.
    AlreadyOpen = 12,
    /// Stored bytes are not what was written. Restore from a backup.
    Corrupt = 13,
    /// Writing the log failed and the outcome is unknown. Reopen; recovery decides what survived.
    LogFailed = 14,
    /// The store or its shard has stopped. Reopen it.
    Closed = 15,
    /// This store, run or build cannot do that.
    Unsupported = 16,
    /// The operating system refused; the source says why.
    Io = 17,
    /// A closure given to the store panicked; what it had written is dropped. Mend the closure.
    Panicked = 18,
    /// The answer did not come in time. A write may still take effect; look, or send it again with its operation id.
    TimedOut = 19,
}

impl ErrorKind {
    /// Every kind, by ascending code.
    pub const ALL: [ErrorKind; 19] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Busy,
        Self::Full,
        Self::InvalidArgument,
        Self::WrongType,
        Self::RunClosed,
        Self::VersionNotFound,
        Self::HistoryTrimmed,
        Self::Diverged,
        Self::AlreadyOpen,
        Self::Corrupt,
        Self::LogFailed,
        Self::Closed,
        Self::Unsupported,
        Self::Io,
        Self::Panicked,
        Self::TimedOut,
    ];

    /// The stable number of this kind, for the wire and for other languages.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The stable name of this kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::InvalidArgument => "invalid argument",
            Self::WrongType => "wrong type",
            Self::RunClosed => "run closed",
            Self::VersionNotFound => "version not found",
            Self::HistoryTrimmed => "history trimmed",
            Self::Diverged => "diverged",
            Self::AlreadyOpen => "already open",
            Self::Corrupt => "corrupt",
            Self::LogFailed => "log failed",
            Self::Closed => "closed",
            Self::Unsupported => "unsupported",
            Self::Io => "io",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RunId;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn codes_are_stable_and_names_are_distinct() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.code() as usize, index + 1, "{kind}");
        }
        let mut names: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorKind::ALL.len());
        assert_eq!(ErrorKind::LogFailed.code(), 14, "published codes never change");
    }

    #[test]
    fn an_error_prints_its_kind_message_and_entity() {
        let run = RunId::from_bytes([0; 16]);
        let error = Error::new(ErrorKind::Conflict, "expected version 3, found 4")
            .with_entity(EntityRef::kv(run, "plan"));
        assert_eq!(
            error.to_string(),
            "conflict: expected version 3, found 4 (kv:00000000-0000-0000-0000-000000000000/plan)"
        );
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.message(), "expected version 3, found 4");
        assert!(error.entity().is_some());
        let busy = Error::new(ErrorKind::Busy, "try later");
        assert_eq!(busy.with_context("operation 3").to_string(), "busy: operation 3: try later");
    }

    #[test]
    fn an_error_keeps_its_source_through_a_clone() {
        let error = Error::new(ErrorKind::Io, "cannot read").with_source(fmt::Error);
        let copy = error.clone();
        assert!(std::error::Error::source(&copy).is_some());
        assert!(format!("{copy:?}").contains("because"));
        assert!(!format!("{:?}", Error::new(ErrorKind::Io, "x")).contains("because"));
        assert!(std::error::Error::source(&Error::new(ErrorKind::Io, "x")).is_none());
    }
}
