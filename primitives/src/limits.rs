//! How large things may be. Checked before anything is sent; what depends on state is checked by `validate`.
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::id::{Namespace, RunId};

/// The deepest nesting any value may have. [`Limits::depth_max`] may lower it, never raise it.
pub const VALUE_DEPTH_MAX: usize = 128;

/// How many operation ids a run remembers; the oldest is forgotten first. Part of replay, so not an option.
pub const OPERATION_IDS_MAX: usize = 65_536;

/// Keys, event types and tags may not begin with this: it is kept for the engine's own use.
pub const RESERVED_PREFIX: &str = "_strata/";

/// The limits of a store. Sizes are bytes, counts are items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a key, an event type or a tag.
    pub key_size_max: usize,
    /// Bytes in a value's content: its encoding without the outermost tag and length.
    pub value_size_max: usize,
    /// Arrays and objects around the innermost item of a value; at most [`VALUE_DEPTH_MAX`].
    pub depth_max: usize,
    /// Items in one array or object; also the longest page of a list and the longest list of keys.
    pub items_max: usize,
    /// Segments of the path of a place in a document.
    pub path_segments_max: usize,
    /// Mutations in one commit.
    pub transaction_mutations_max: usize,
    /// Bytes of the encoded mutations of one commit, and of the operations that wait for it.
    pub transaction_size_max: usize,
    /// Bytes that a transaction's memory of what it has read may take, about.
    pub transaction_reads_size_max: usize,
    /// Bytes in a run's name, each one of `[A-Za-z0-9._-]`.
    pub run_name_size_max: usize,
    /// Characters in each part of a namespace.
    pub namespace_chars_max: usize,
    /// Tags of a run.
    pub tag_count_max: usize,
    /// Bytes in a run's metadata.
    pub metadata_size_max: usize,
    /// Bytes in the note of a cause.
    pub cause_size_max: usize,
    /// Bytes that a run keeps for open snapshots and transactions, about; beyond them the oldest is given up.
    pub snapshot_size_max: usize,
    /// Bytes of memory that a run takes, about; beyond them it takes only what makes it no larger, as deletions do.
    pub run_size_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_size_max: 1024,
            value_size_max: 16 << 20,
            depth_max: VALUE_DEPTH_MAX,
            items_max: 1_000_000,
            path_segments_max: 256,
            transaction_mutations_max: 100_000,
            transaction_size_max: 64 << 20,
            transaction_reads_size_max: 64 << 20,
            run_name_size_max: 128,
            namespace_chars_max: 128,
            tag_count_max: 64,
            metadata_size_max: 64 << 10,
            cause_size_max: 1024,
            snapshot_size_max: 64 << 20,
            run_size_max: 1 << 30,
        }
    }
}

impl Limits {
    /// Refuses a key that is empty, too long, reserved or holds NUL.
    pub fn check_key(&self, key: &str) -> Result<(), Error> {
        self.check_name("key", key)
    }

    /// Refuses the name of a cell by the rules of keys.
    pub fn check_cell_name(&self, name: &str) -> Result<(), Error> {
        self.check_name("cell name", name)
    }

    /// Refuses the name of a document by the rules of keys.
    pub fn check_document_name(&self, name: &str) -> Result<(), Error> {
        self.check_name("document name", name)
    }

    /// Refuses what would make a run larger that takes so many bytes of memory.
    pub fn check_run_size(&self, run: RunId, memory: usize) -> Result<(), Error> {
        let checked = self.check_size("run_size_max", self.run_size_max, memory, "run");
        checked.map_err(|error| error.with_entity(EntityRef::run(run)))
    }

    /// Refuses a path with too many segments.
    pub fn check_path(&self, segment_count: usize) -> Result<(), Error> {
        self.check_count("path_segments_max", self.path_segments_max, segment_count, "path")
    }

    /// Refuses an event type by the rules of keys.
    pub fn check_event_kind(&self, kind: &str) -> Result<(), Error> {
        self.check_name("event type", kind)
    }

    /// Refuses a kind of trace by the rules of keys.
    pub fn check_trace_kind(&self, kind: &str) -> Result<(), Error> {
        self.check_name("kind of trace", kind)
    }

    /// Refuses a prefix that no key could begin with. The empty prefix is every key.
    pub fn check_prefix(&self, prefix: &str) -> Result<(), Error> {
        self.check_size("key_size_max", self.key_size_max, prefix.len(), "prefix")?;
        refuse_nul("prefix", prefix)
    }

    /// Refuses a run name that is empty, too long, or not made of `[A-Za-z0-9._-]`.
    pub fn check_run_name(&self, name: &str) -> Result<(), Error> {
        refuse_empty("run name", name)?;
        self.check_size("run_name_size_max", self.run_name_size_max, name.len(), "run name")?;
        match name.chars().find(|char| !(char.is_ascii_alphanumeric() || "._-".contains(*char))) {
            None => Ok(()),
            Some(char) => {
                Err(invalid(format!("a run name takes letters, digits, '.', '_' and '-', not {char:?}")))
            }
        }
    }

    /// Refuses a namespace with a part that is too long or holds NUL.
    pub fn check_namespace(&self, namespace: &Namespace) -> Result<(), Error> {
        for (what, part) in
            [("tenant", &namespace.tenant), ("app", &namespace.app), ("agent", &namespace.agent)]
        {
            let (limit, count) = (self.namespace_chars_max, part.chars().count());
            if count > limit {
                return Err(invalid(format!(
                    "namespace_chars_max is {limit} characters, the {what} has {count}"
                )));
            }
            refuse_nul(what, part)?;
        }
        Ok(())
    }

    /// Refuses too many tags, and any tag that breaks the rules of keys.
    pub fn check_tags(&self, tags: &[String]) -> Result<(), Error> {
        self.check_count("tag_count_max", self.tag_count_max, tags.len(), "list of tags")?;
        tags.iter().try_for_each(|tag| self.check_name("tag", tag))
    }

    /// Refuses more than [`items_max`](Self::items_max) items in one request.
    pub fn check_items(&self, count: usize, what: &str) -> Result<(), Error> {
        self.check_count("items_max", self.items_max, count, what)
    }

    /// Refuses more operations for one commit than it may have mutations, whether or not each changes something: what
    /// waits for a commit is bounded by it.
    pub fn check_operations(&self, run: RunId, count: usize, what: &str) -> Result<(), Error> {
        let count_max = self.transaction_mutations_max;
        if count <= count_max {
            return Ok(());
        }
        let message =
            format!("transaction_mutations_max is {count_max}, the {what} has {count} operations: split it");
        Err(invalid(message).with_entity(EntityRef::run(run)))
    }

    /// Refuses operations that together take more bytes than the mutations of one commit may, whether or not each
    /// changes something.
    pub fn check_operations_size(&self, run: RunId, size: usize, what: &str) -> Result<(), Error> {
        let size_max = self.transaction_size_max;
        if size <= size_max {
            return Ok(());
        }
        let message = format!("transaction_size_max is {size_max} bytes, the {what} has {size}: split it");
        Err(invalid(message).with_entity(EntityRef::run(run)))
    }

    /// Refuses what is longer than `limit` bytes, naming the limit.
    pub(crate) fn check_size(&self, name: &str, limit: usize, size: usize, what: &str) -> Result<(), Error> {
        if size <= limit { Ok(()) } else { Err(exceeded(name, limit, size, what, "bytes")) }
    }

    /// Refuses what has more than `limit` items, naming the limit.
    pub(crate) fn check_count(
        &self,
        name: &str,
        limit: usize,
        count: usize,
        what: &str,
    ) -> Result<(), Error> {
        if count <= limit { Ok(()) } else { Err(exceeded(name, limit, count, what, "items")) }
    }

    fn check_name(&self, what: &str, name: &str) -> Result<(), Error> {
        refuse_empty(what, name)?;
        self.check_size("key_size_max", self.key_size_max, name.len(), what)?;
        refuse_nul(what, name)?;
        if name.starts_with(RESERVED_PREFIX) {
            return Err(invalid(format!(
                "the {what} {name:?} begins with the reserved prefix {RESERVED_PREFIX:?}"
            )));
        }
        Ok(())
    }
}

#[cold]
fn exceeded(name: &str, limit: usize, given: usize, what: &str, unit: &str) -> Error {
    invalid(format!("{name} is {limit} {unit}, the {what} has {given}"))
}

#[cold]
fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn refuse_empty(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() { Err(invalid(format!("the {what} is empty"))) } else { Ok(()) }
}

fn refuse_nul(what: &str, name: &str) -> Result<(), Error> {
    if name.as_bytes().contains(&0) { Err(invalid(format!("the {what} {name:?} holds NUL"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn a_key_may_be_as_long_as_the_limit_and_no_longer() {
        let limits = Limits::default();
        assert!(limits.check_key("k").is_ok());
        assert!(limits.check_key(&"k".repeat(1024)).is_ok());
        assert_eq!(
            message(limits.check_key(&"k".repeat(1025))),
            "key_size_max is 1024 bytes, the key has 1025"
        );
        assert_eq!(message(limits.check_key("")), "the key is empty");
        assert_eq!(message(limits.check_key("a\0b")), "the key \"a\\0b\" holds NUL");
        assert!(message(limits.check_key("_strata/x")).contains("reserved"));
        assert!(message(limits.check_event_kind("")).contains("event type"));
    }

    #[test]
    fn a_prefix_may_be_empty_but_no_longer_than_a_key() {
        let limits = Limits::default();
        assert!(limits.check_prefix("").is_ok());
        assert!(message(limits.check_prefix(&"p".repeat(1025))).contains("1025"));
        assert!(message(limits.check_prefix("\0")).contains("NUL"));
    }

    #[test]
    fn run_names_are_portable_words() {
        let limits = Limits::default();
        assert!(limits.check_run_name("Nightly-2026.01_a").is_ok());
        assert!(limits.check_run_name(&"n".repeat(128)).is_ok());
        assert!(message(limits.check_run_name(&"n".repeat(129))).contains("129"));
        assert!(message(limits.check_run_name("")).contains("empty"));
        assert!(message(limits.check_run_name("a b")).contains("' '"));
        assert!(message(limits.check_run_name("é")).contains("'é'"));
    }

    #[test]
    fn namespaces_count_characters_not_bytes() {
        let limits = Limits::default();
        assert!(limits.check_namespace(&Namespace::new("é".repeat(128), "", "")).is_ok());
        let long = Namespace::new("", "", "é".repeat(129));
        assert_eq!(
            message(limits.check_namespace(&long)),
            "namespace_chars_max is 128 characters, the agent has 129"
        );
        assert!(message(limits.check_namespace(&Namespace::new("a\0", "", ""))).contains("tenant"));
    }

    #[test]
    fn tags_follow_the_rules_of_keys_and_are_few() {
        let limits = Limits::default();
        assert!(limits.check_tags(&vec!["t".to_owned(); 64]).is_ok());
        assert!(message(limits.check_tags(&vec!["t".to_owned(); 65])).contains("tag_count_max is 64"));
        assert!(message(limits.check_tags(&[String::new()])).contains("tag"));
        assert!(limits.check_items(1_000_000, "list of keys").is_ok());
        assert!(message(limits.check_items(1_000_001, "list of keys")).contains("items_max"));
    }
}
