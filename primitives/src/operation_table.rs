//! The table of operations: the one list that every surface is held against.
use crate::operation::Operation;

/// What an operation needs of the run's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: the run may be missing.
    Any,
    /// The run is there, in any status.
    Existing,
    /// The run is there and active.
    Active,
}

/// One line of the table of operations.
#[derive(Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// The name on every surface.
    pub name: &'static str,
    /// The number in the log and on the wire. Never changes, never reused; row `n` has tag `n + 1`.
    pub tag: u8,
    /// Whether it may change anything.
    pub write: bool,
    /// What it needs of the run's status.
    pub access: Access,
    /// Whether it may be part of a transaction, a batch or a shipped closure. What may not stands alone.
    pub joins: bool,
    /// The tags of the mutations it may produce.
    pub mutations: &'static [u8],
}

const fn read(tag: u8, name: &'static str) -> OperationRow {
    OperationRow { name, tag, write: false, access: Access::Existing, joins: true, mutations: &[] }
}

const fn write(tag: u8, name: &'static str, access: Access, mutations: &'static [u8]) -> OperationRow {
    OperationRow { name, tag, write: true, access, joins: true, mutations }
}

/// What begins or ends a run, or is the engine's own: it is a commit of its own.
const fn alone(tag: u8, name: &'static str, access: Access, mutations: &'static [u8]) -> OperationRow {
    OperationRow { joins: false, ..write(tag, name, access, mutations) }
}

static TABLE: [OperationRow; 62] = [
    read(1, "kv_get"),
    read(2, "kv_get_many"),
    read(3, "kv_exists"),
    read(4, "kv_ttl"),
    read(5, "kv_list"),
    read(6, "kv_count"),
    write(7, "kv_put", Access::Active, &[1]),
    write(8, "kv_put_many", Access::Active, &[1]),
    write(9, "kv_put_if", Access::Active, &[1]),
    write(10, "kv_delete", Access::Active, &[2]),
    write(11, "kv_delete_prefix", Access::Active, &[2]),
    write(12, "kv_increment", Access::Active, &[1]),
    write(13, "kv_set_deadline", Access::Active, &[3]),
    write(14, "kv_clear_deadline", Access::Active, &[3]),
    // Expiry goes on in a run that takes no writes: its deadlines were accepted while it did.
    alone(15, "expire", Access::Existing, &[2, 12]),
    write(16, "event_append", Access::Active, &[4, 23]),
    write(17, "event_append_many", Access::Active, &[4, 23]),
    read(18, "event_read"),
    read(19, "event_range"),
    read(20, "event_by_type"),
    read(21, "event_len"),
    read(22, "event_head"),
    read(23, "event_verify_chain"),
    alone(24, "run_create", Access::Any, &[5, 17, 22, 24]),
    alone(25, "run_begin", Access::Any, &[5, 6, 17, 22, 24]),
    OperationRow { access: Access::Any, ..read(26, "run_get") },
    write(27, "run_update_status", Access::Existing, &[6, 7]),
    write(28, "run_set_tags", Access::Existing, &[8]),
    write(29, "run_set_metadata", Access::Existing, &[9]),
    alone(30, "run_delete", Access::Existing, &[10]),
    read(31, "run_receipt"),
    write(32, "cell_init", Access::Active, &[11]),
    read(33, "cell_read"),
    read(34, "cell_ttl"),
    write(35, "cell_set", Access::Active, &[11]),
    write(36, "cell_cas", Access::Active, &[11]),
    write(37, "cell_delete", Access::Active, &[12]),
    read(38, "cell_list"),
    read(39, "entity_stat"),
    write(40, "trace_record", Access::Active, &[13, 25]),
    write(41, "trace_begin", Access::Active, &[13, 25]),
    write(42, "trace_end", Access::Active, &[14]),
    read(43, "trace_get"),
    read(44, "trace_list"),
    read(45, "trace_tree"),
    read(46, "trace_count"),
    write(47, "json_create", Access::Active, &[15]),
    read(48, "json_get"),
    write(49, "json_set", Access::Active, &[15]),
    write(50, "json_cas", Access::Active, &[15]),
    write(51, "json_delete", Access::Active, &[15]),
    write(52, "json_patch", Access::Active, &[15]),
    write(53, "json_merge", Access::Active, &[15]),
    write(54, "json_append", Access::Active, &[15]),
    read(55, "json_list"),
    write(56, "json_destroy", Access::Active, &[16]),
    write(57, "run_set_retention", Access::Existing, &[17]),
    // It is a commit of its own: what a transaction has read would change under it.
    alone(58, "run_erase", Access::Existing, &[19]),
    write(59, "run_set_event_retention", Access::Existing, &[22, 23]),
    read(60, "event_first"),
    write(61, "run_set_trace_retention", Access::Existing, &[24, 25]),
    read(62, "trace_first"),
];

/// The mutations that the operation with this tag may produce.
pub fn mutations_of(tag: u8) -> &'static [u8] {
    TABLE.iter().find(|row| row.tag == tag).map_or(&[], |row| row.mutations)
}

impl Operation {
    /// Every operation there is, by ascending tag.
    pub fn table() -> &'static [OperationRow] {
        &TABLE
    }

    /// This operation's line in the table.
    pub fn row(&self) -> &'static OperationRow {
        &TABLE[usize::from(self.tag()) - 1]
    }

    /// The name on every surface.
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// Whether it may change anything.
    pub fn is_write(&self) -> bool {
        self.row().write
    }

    /// The number in the log and on the wire.
    pub fn tag(&self) -> u8 {
        match self {
            Self::KvGet { .. } => 1,
            Self::KvGetMany { .. } => 2,
            Self::KvExists { .. } => 3,
            Self::KvTtl { .. } => 4,
            Self::KvList { .. } => 5,
            Self::KvCount { .. } => 6,
            Self::KvPut { .. } => 7,
            Self::KvPutMany { .. } => 8,
            Self::KvPutIf { .. } => 9,
            Self::KvDelete { .. } => 10,
            Self::KvDeletePrefix { .. } => 11,
            Self::KvIncrement { .. } => 12,
            Self::KvSetDeadline { .. } => 13,
            Self::KvClearDeadline { .. } => 14,
            Self::Expire { .. } => 15,
            Self::EventAppend { .. } => 16,
            Self::EventAppendMany { .. } => 17,
            Self::EventRead { .. } => 18,
            Self::EventRange { .. } => 19,
            Self::EventByType { .. } => 20,
            Self::EventLen { .. } => 21,
            Self::EventHead { .. } => 22,
            Self::EventVerifyChain => 23,
            Self::RunCreate { .. } => 24,
            Self::RunBegin { .. } => 25,
            Self::RunGet => 26,
            Self::RunUpdateStatus { .. } => 27,
            Self::RunSetTags { .. } => 28,
            Self::RunSetMetadata { .. } => 29,
            Self::RunDelete => 30,
            Self::RunReceipt { .. } => 31,
            Self::CellInit { .. } => 32,
            Self::CellRead { .. } => 33,
            Self::CellTtl { .. } => 34,
            Self::CellSet { .. } => 35,
            Self::CellCas { .. } => 36,
            Self::CellDelete { .. } => 37,
            Self::CellList { .. } => 38,
            Self::EntityStat { .. } => 39,
            Self::TraceRecord { .. } => 40,
            Self::TraceBegin { .. } => 41,
            Self::TraceEnd { .. } => 42,
            Self::TraceGet { .. } => 43,
            Self::TraceList { .. } => 44,
            Self::TraceTree { .. } => 45,
            Self::TraceCount { .. } => 46,
            Self::JsonCreate { .. } => 47,
            Self::JsonGet { .. } => 48,
            Self::JsonSet { .. } => 49,
            Self::JsonCas { .. } => 50,
            Self::JsonDelete { .. } => 51,
            Self::JsonPatch { .. } => 52,
            Self::JsonMerge { .. } => 53,
            Self::JsonAppend { .. } => 54,
            Self::JsonList { .. } => 55,
            Self::JsonDestroy { .. } => 56,
            Self::RunSetRetention { .. } => 57,
            Self::RunErase { .. } => 58,
            Self::RunSetEventRetention { .. } => 59,
            Self::EventFirst => 60,
            Self::RunSetTraceRetention { .. } => 61,
            Self::TraceFirst => 62,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::Mutation;

    #[test]
    fn row_n_has_tag_n_plus_one_and_names_are_distinct() {
        for (index, row) in Operation::table().iter().enumerate() {
            assert_eq!(usize::from(row.tag), index + 1, "{}", row.name);
        }
        let mut names: Vec<_> = Operation::table().iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Operation::table().len());
    }

    #[test]
    fn every_write_names_its_mutations_and_every_mutation_has_a_writer() {
        for row in Operation::table() {
            assert_eq!(row.write, !row.mutations.is_empty(), "{}", row.name);
            assert_eq!(mutations_of(row.tag), row.mutations);
            for tag in row.mutations {
                assert!(Mutation::table().iter().any(|mutation| mutation.tag == *tag), "{}", row.name);
            }
        }
        for mutation in Mutation::table() {
            let has_writer = Operation::table().iter().any(|row| row.mutations.contains(&mutation.tag));
            // A fork is made of another run, an import of an archive, which no operation on one run can do; an erased event is what a
            // compaction leaves of one that was appended.
            let is_made = ["run_fork", "run_import", "event_erased"].contains(&mutation.name);
            assert_eq!(has_writer, !is_made, "{}", mutation.name);
        }
        assert!(mutations_of(0).is_empty());
    }
}
