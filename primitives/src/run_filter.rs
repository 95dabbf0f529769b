//! Which runs a query wants.
use crate::id::{Namespace, RunId};
use crate::run_meta::RunInfo;
use crate::run_status::RunStatus;
use crate::value::Value;
use crate::version::Timestamp;

/// Conditions on runs. Each one that is set must hold; the default holds for every run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// The run has this status.
    pub status: Option<RunStatus>,
    /// One of its tags is this.
    pub tag: Option<String>,
    /// It was started by this run.
    pub parent: Option<RunId>,
    /// It lives in exactly this namespace.
    pub namespace: Option<Namespace>,
    /// It was created at this time or later.
    pub created_from: Option<Timestamp>,
    /// It was created before this time.
    pub created_to: Option<Timestamp>,
    /// Its metadata is an object with this member.
    pub metadata: Option<(String, Value)>,
    /// It is orphaned, or it is not.
    pub orphaned: Option<bool>,
}

impl RunFilter {
    /// Whether `run` meets every condition.
    pub fn matches(&self, run: &RunInfo) -> bool {
        let RunFilter { status, tag, parent, namespace, created_from, created_to, metadata, orphaned } = self;
        status.is_none_or(|status| run.status == status)
            && tag.as_ref().is_none_or(|tag| run.tags.contains(tag))
            && parent.is_none_or(|parent| run.parent == Some(parent))
            && namespace.as_ref().is_none_or(|namespace| run.namespace == *namespace)
            && created_from.is_none_or(|from| run.created >= from)
            && created_to.is_none_or(|to| run.created < to)
            && metadata.as_ref().is_none_or(|(name, value)| run.metadata.get(name) == Some(value))
            && orphaned.is_none_or(|orphaned| run.orphaned == orphaned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn info() -> RunInfo {
        RunInfo {
            id: RunId::from_bytes([1; 16]),
            name: None,
            namespace: Namespace::new("acme", "", ""),
            parent: Some(RunId::from_bytes([2; 16])),
            tags: vec!["red".into(), "blue".into()],
            metadata: Value::from([("task", Value::Int(7))]),
            status: RunStatus::Failed,
            created: Timestamp(100),
            begun_in_boot: 1,
            durability: None,
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            version: Version(1),
            timestamp: Timestamp(100),
            kv_count: 0,
            event_count: 0,
            cell_count: 0,
            document_count: 0,
            trace_count: 0,
            size: 0,
            orphaned: false,
        }
    }

    #[test]
    fn every_condition_accepts_its_own_and_refuses_others() {
        let any = RunFilter::default;
        let metadata = |name: &str, value: i64| Some((name.to_owned(), Value::Int(value)));
        assert!(any().matches(&info()));
        let accepted_and_refused = [
            (
                RunFilter { status: Some(RunStatus::Failed), ..any() },
                RunFilter { status: Some(RunStatus::Active), ..any() },
            ),
            (
                RunFilter { tag: Some("blue".into()), ..any() },
                RunFilter { tag: Some("green".into()), ..any() },
            ),
            (
                RunFilter { parent: Some(RunId::from_bytes([2; 16])), ..any() },
                RunFilter { parent: Some(RunId::from_bytes([1; 16])), ..any() },
            ),
            (
                RunFilter { namespace: Some(Namespace::new("acme", "", "")), ..any() },
                RunFilter { namespace: Some(Namespace::default()), ..any() },
            ),
            (
                RunFilter { created_from: Some(Timestamp(100)), ..any() },
                RunFilter { created_from: Some(Timestamp(101)), ..any() },
            ),
            (
                RunFilter { created_to: Some(Timestamp(101)), ..any() },
                RunFilter { created_to: Some(Timestamp(100)), ..any() },
            ),
            (
                RunFilter { metadata: metadata("task", 7), ..any() },
                RunFilter { metadata: metadata("task", 8), ..any() },
            ),
            (RunFilter { orphaned: Some(false), ..any() }, RunFilter { orphaned: Some(true), ..any() }),
        ];
        for (accepted, refused) in accepted_and_refused {
            assert!(accepted.matches(&info()), "{accepted:?}");
            assert!(!refused.matches(&info()), "{refused:?}");
        }
    }
}
