//! When something expires, as a caller says it.
use crate::error::{Error, ErrorKind};
use crate::version::Timestamp;
use std::time::Duration;

/// When a key expires, as the caller says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// Never.
    #[default]
    None,
    /// This long after the commit.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl Deadline {
    /// The absolute deadline, which is what is stored.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not after `now`, or beyond the end of time.
    pub fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        match self {
            Self::None => Ok(None),
            Self::In(ttl) if ttl.as_micros() == 0 => {
                refuse(format!("a time to live of {ttl:?} is already over"))
            }
            Self::In(ttl) => {
                match u64::try_from(ttl.as_micros()).ok().and_then(|micros| now.0.checked_add(micros)) {
                    Some(deadline) => Ok(Some(Timestamp(deadline))),
                    None => refuse(format!("a time to live of {ttl:?} ends beyond the last timestamp")),
                }
            }
            Self::At(deadline) if deadline <= now => {
                refuse(format!("the deadline {deadline} is not after the present {now}"))
            }
            Self::At(deadline) => Ok(Some(deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_resolve_to_a_time_in_the_future_or_not_at_all() {
        let now = Timestamp(1_000);
        assert_eq!(Deadline::None.resolve(now).unwrap(), None);
        assert_eq!(Deadline::In(Duration::from_micros(1)).resolve(now).unwrap(), Some(Timestamp(1_001)));
        assert_eq!(Deadline::At(Timestamp(1_001)).resolve(now).unwrap(), Some(Timestamp(1_001)));
        for refused in [
            Deadline::In(Duration::ZERO),
            Deadline::In(Duration::from_nanos(999)),
            Deadline::In(Duration::from_micros(u64::MAX)),
            Deadline::In(Duration::MAX),
            Deadline::At(now),
            Deadline::At(Timestamp(0)),
        ] {
            assert_eq!(refused.resolve(now).unwrap_err().kind(), ErrorKind::InvalidArgument, "{refused:?}");
        }
    }
}
