//! Traces below each other, in the order one would read them.
use crate::trace::Trace;
use crate::trace_id::TraceId;
use std::collections::BTreeMap;

/// A trace and how many traces stand above it in its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceNode {
    /// 0 for a root, 1 for its children, and so on.
    pub depth: usize,
    /// The trace.
    pub trace: Trace,
}

/// A forest of traces, depth first: each one is followed by everything below it, siblings in commit order.
///
/// A flat list and not trees within trees, because a chain of calls can be longer than a stack is deep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceTree(Vec<TraceNode>);

impl TraceTree {
    /// Arranges traces that are given in commit order, in which a parent comes before its children.
    ///
    /// A trace whose parent is not among those before it is a root.
    pub fn new(traces: Vec<Trace>) -> Self {
        let links = Links::of(&traces);
        let mut traces: Vec<Option<Trace>> = traces.into_iter().map(Some).collect();
        let mut nodes = Vec::with_capacity(traces.len());
        let mut ahead = Vec::from_iter(links.first_root.map(|root| (root, 0)));
        while let Some((place, depth)) = ahead.pop() {
            nodes.extend(traces[place].take().map(|trace| TraceNode { depth, trace }));
            // The last one pushed is the next one read, so everything below a trace comes before its sibling.
            ahead.extend(links.next_sibling[place].map(|sibling| (sibling, depth)));
            ahead.extend(links.first_child[place].map(|child| (child, depth + 1)));
        }
        Self(nodes)
    }

    /// The traces with their depths, depth first.
    pub fn nodes(&self) -> &[TraceNode] {
        &self.0
    }

    /// The same, without copying.
    pub fn into_nodes(self) -> Vec<TraceNode> {
        self.0
    }

    /// The nodes below the one at `index`: all of them, not only its children.
    pub fn below(&self, index: usize) -> &[TraceNode] {
        let Some(node) = self.0.get(index) else { return &[] };
        let rest = &self.0[index + 1..];
        let count = rest.iter().position(|other| other.depth <= node.depth).unwrap_or(rest.len());
        &rest[..count]
    }
}

/// Who comes next, by place in the list the tree is made from.
struct Links {
    first_root: Option<usize>,
    first_child: Vec<Option<usize>>,
    next_sibling: Vec<Option<usize>>,
}

impl Links {
    fn of(traces: &[Trace]) -> Self {
        let parents = parents(traces);
        let mut links = Self {
            first_root: None,
            first_child: vec![None; traces.len()],
            next_sibling: vec![None; traces.len()],
        };
        // From the last to the first, so that the first of several siblings is linked last and read first.
        for (place, parent) in parents.into_iter().enumerate().rev() {
            let first = match parent {
                Some(parent) => &mut links.first_child[parent],
                None => &mut links.first_root,
            };
            links.next_sibling[place] = first.replace(place);
        }
        links
    }
}

/// The place of each trace's parent. Only those before a trace are looked at, so no two are above each other.
fn parents(traces: &[Trace]) -> Vec<Option<usize>> {
    let mut places: BTreeMap<TraceId, usize> = BTreeMap::new();
    let mut parents = Vec::with_capacity(traces.len());
    for (place, trace) in traces.iter().enumerate() {
        parents.push(trace.parent.and_then(|parent| places.get(&parent).copied()));
        places.entry(trace.id).or_insert(place);
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::Encoded;
    use crate::version::{Stamp, Timestamp};
    use std::sync::Arc;

    fn id(number: u32) -> TraceId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        TraceId::from_bytes(bytes)
    }

    fn trace(number: u32, parent: Option<u32>) -> Trace {
        Trace {
            id: id(number),
            parent: parent.map(id),
            kind: "step".into(),
            tags: Arc::default(),
            body: Encoded::from_int(0),
            began: Timestamp(0),
            ended: None,
            stamp: Stamp::default(),
            recorded: Stamp::default(),
        }
    }

    /// The tree of traces 0, 1, 2 ... with these parents, as pairs of depth and number.
    fn read(parents: &[Option<u32>]) -> Vec<(usize, u32)> {
        let traces = parents.iter().zip(0..).map(|(parent, number)| trace(number, *parent)).collect();
        TraceTree::new(traces).nodes().iter().map(|node| (node.depth, number(&node.trace))).collect()
    }

    fn number(trace: &Trace) -> u32 {
        (0..1000).find(|number| id(*number) == trace.id).unwrap()
    }

    #[test]
    fn everything_below_a_trace_comes_before_its_sibling() {
        let parents = [None, Some(0), Some(0), Some(1), None, Some(2), Some(4)];
        let expected = [(0, 0), (1, 1), (2, 3), (1, 2), (2, 5), (0, 4), (1, 6)];
        assert_eq!(read(&parents), expected);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn a_trace_whose_parent_is_not_before_it_is_a_root() {
        assert_eq!(read(&[Some(9), Some(1), Some(3), Some(2)]), [(0, 0), (0, 1), (0, 2), (1, 3)]);
    }

    #[test]
    fn an_id_given_twice_loses_no_trace() {
        let tree = TraceTree::new(vec![trace(1, None), trace(1, Some(1)), trace(2, Some(1))]);
        assert_eq!(tree.nodes().iter().map(|node| node.depth).collect::<Vec<_>>(), [0, 1, 1]);
    }

    #[test]
    fn what_is_below_a_node_ends_with_its_sibling() {
        let parents = [None, Some(0), Some(1), Some(0), None];
        let traces = parents.iter().zip(0..).map(|(parent, number)| trace(number, *parent)).collect();
        let tree = TraceTree::new(traces);
        let below = |index| tree.below(index).iter().map(|node| number(&node.trace)).collect::<Vec<_>>();
        assert_eq!((below(0), below(1), below(2)), (vec![1, 2, 3], vec![2], vec![]));
        assert_eq!((below(4), below(5), below(usize::MAX)), (vec![], vec![], vec![]));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_needs_no_stack() {
        let count = 100_000;
        let chain = (0..count).map(|number| trace(number, number.checked_sub(1))).collect();
        let tree = TraceTree::new(chain);
        let last = tree.nodes().last().unwrap();
        assert_eq!((last.depth, last.trace.id), (count as usize - 1, id(count - 1)));
        drop(tree);
    }
}
