//! What two documents have done to a third, place by place.
use super::difference::{PlaceDifference, Token, Walk, is_same_scalar};
use super::document::Document;
use super::node::{Content, Node};
use super::pointer::Pointer;
use crate::encoded::Encoded;
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// What theirs does to a document besides what ours does to it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ThreeWayPlaces {
    /// What theirs alone has changed, in the order of the document.
    pub(crate) taken: Vec<PlaceDifference>,
    /// What both have changed, each in its own way.
    pub(crate) contested: Vec<ContestedPlace>,
}

/// The smallest place around what both have changed, with what the three documents hold there.
#[derive(Debug, PartialEq)]
pub(crate) struct ContestedPlace {
    pub(crate) path: Pointer,
    pub(crate) base: Option<Encoded>,
    pub(crate) ours: Option<Encoded>,
    pub(crate) theirs: Option<Encoded>,
}

impl Document {
    /// What `ours` and `theirs` have done to this document.
    ///
    /// Objects are compared member by member, whatever the order of these; arrays item by item where all three have as many, since who puts
    /// an item in or takes one out writes the whole array. Where only theirs has changed a place all of it is taken, the order of
    /// members too.
    pub(crate) fn three_way(&self, ours: &Document, theirs: &Document) -> ThreeWayPlaces {
        let mut walk = ThreeWayWalk::default();
        walk.nodes(Some(self.root()), Some(ours.root()), Some(theirs.root()));
        ThreeWayPlaces { taken: walk.theirs.found, contested: walk.contested }
    }
}

#[derive(Default)]
struct ThreeWayWalk<'a> {
    /// Where it is, and what of theirs is taken.
    theirs: Walk<'a>,
    contested: Vec<ContestedPlace>,
    comparison: Comparison,
}

impl<'a> ThreeWayWalk<'a> {
    fn nodes(&mut self, base: Option<&'a Node>, ours: Option<&'a Node>, theirs: Option<&'a Node>) {
        if self.comparison.is_same(base, theirs) || self.comparison.is_same(ours, theirs) {
            return;
        }
        if self.comparison.is_same(base, ours) {
            return self.theirs.pair(base, theirs);
        }
        let content = |node: Option<&'a Node>| node.map(Node::content);
        match (content(base), content(ours), content(theirs)) {
            (Some(Content::Object(base)), Some(Content::Object(ours)), Some(Content::Object(theirs))) => {
                let (base, ours) = (&base.children, &ours.children);
                for (name, node) in base.to_vec() {
                    self.below(Token::Name(name), Some(node), ours.get(name), theirs.children.get(name));
                }
                for (name, node) in theirs.children.to_vec() {
                    if base.get(name).is_none() {
                        self.below(Token::Name(name), None, ours.get(name), Some(node));
                    }
                }
            }
            (Some(Content::Array(base)), Some(Content::Array(ours)), Some(Content::Array(theirs)))
                if base.children.len() == ours.children.len()
                    && base.children.len() == theirs.children.len() =>
            {
                let items = base.children.to_vec().into_iter().zip(ours.children.to_vec());
                for (index, ((base, ours), theirs)) in items.zip(theirs.children.to_vec()).enumerate() {
                    self.below(Token::Index(index), Some(base), Some(ours), Some(theirs));
                }
            }
            _ => {
                let path = self.theirs.path();
                let [base, ours, theirs] = [base, ours, theirs].map(|node| node.map(Node::to_encoded));
                self.contested.push(ContestedPlace { path, base, ours, theirs });
            }
        }
    }

    fn below(
        &mut self,
        token: Token<'a>,
        base: Option<&'a Node>,
        ours: Option<&'a Node>,
        theirs: Option<&'a Node>,
    ) {
        self.theirs.enter(token);
        self.nodes(base, ours, theirs);
        self.theirs.leave();
    }
}

/// Which containers are known to differ. A walk asks at each level once more for what is below, and each pair is compared once: so it
/// takes as long as the documents are large, however deep.
#[derive(Default)]
struct Comparison {
    /// Where both lie, while the walk has them.
    different: FxHashSet<(usize, usize)>,
    /// How many pairs it has looked at.
    #[cfg(test)]
    count: usize,
}

impl Comparison {
    /// Whether both are the same value, whoever wrote it; the order of members is part of it.
    fn is_same(&mut self, one: Option<&Node>, other: Option<&Node>) -> bool {
        #[cfg(test)]
        {
            self.count += 1;
        }
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one.content(), other.content()),
            (one, other) => return one.is_none() && other.is_none(),
        };
        match (one, other) {
            (Content::Array(one), Content::Array(other)) => self.once(one, other, |comparison| {
                let (one, other) = (one.children.to_vec(), other.children.to_vec());
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| comparison.is_same(Some(one), Some(other)))
            }),
            (Content::Object(one), Content::Object(other)) => self.once(one, other, |comparison| {
                let (one, other) = (one.children.to_vec(), other.children.to_vec());
                one.len() == other.len()
                    && one.iter().zip(other).all(|((name, one), (other_name, other))| {
                        *name == other_name && comparison.is_same(Some(one), Some(other))
                    })
            }),
            (one, other) => is_same_scalar(one, other),
        }
    }

    fn once<T>(
        &mut self,
        one: &Arc<T>,
        other: &Arc<T>,
        is_same: impl FnOnce(&mut Comparison) -> bool,
    ) -> bool {
        let pair = (Arc::as_ptr(one).addr(), Arc::as_ptr(other).addr());
        let is_same = pair.0 == pair.1 || (!self.different.contains(&pair) && is_same(self));
        if !is_same {
            self.different.insert(pair);
        }
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::document;
    use super::*;

    /// What is taken and what is contested, as text.
    fn three_way(base: &str, ours: &str, theirs: &str) -> (Vec<String>, Vec<String>) {
        let text = |value: &Option<Encoded>| {
            value.as_ref().map_or("-".into(), |value| value.to_value().unwrap().to_string())
        };
        let found = document(base).three_way(&document(ours), &document(theirs));
        let taken = found.taken.iter().map(|found| format!("{} {}", found.path, text(&found.after)));
        let contested = found.contested.iter().map(|found| {
            format!("{} {} {} {}", found.path, text(&found.base), text(&found.ours), text(&found.theirs))
        });
        (taken.collect(), contested.collect())
    }

    #[test]
    fn places_that_one_side_alone_has_changed_ask_nobody() {
        let base = r#"{"a": 1, "b": {"x": [1, 2], "y": 1}, "c": 1}"#;
        let ours = r#"{"a": 2, "b": {"x": [5, 2], "y": 1}, "c": 1, "ours": 0}"#;
        let theirs = r#"{"a": 1, "b": {"x": [1, 7]}, "c": 3, "theirs": 0}"#;
        let (taken, contested) = three_way(base, ours, theirs);
        assert_eq!(taken, ["/b/x/1 7", "/b/y -", "/c 3", "/theirs 0"]);
        assert_eq!(contested, [""; 0]);
        assert_eq!(three_way(base, ours, ours), (vec![], vec![]));
        assert_eq!(three_way(base, ours, base), (vec![], vec![]));
    }

    #[test]
    fn what_both_have_changed_is_the_smallest_place_around_it() {
        let cases = [
            (r#"{"a": 1}"#, r#"{"a": 2}"#, r#"{"a": 3}"#, "/a 1 2 3"),
            (r#"{"a": 1}"#, "{}", r#"{"a": 3}"#, "/a 1 - 3"),
            ("{}", r#"{"a": 2}"#, r#"{"a": 3}"#, "/a - 2 3"),
            (r#"{"a": {"x": 1}}"#, r#"{"a": 5}"#, r#"{"a": {"x": 2}}"#, r#"/a {"x": 1} 5 {"x": 2}"#),
            // Who puts an item in or takes one out writes the whole array.
            (
                r#"{"l": [1, 2]}"#,
                r#"{"l": [1, 2, 3]}"#,
                r#"{"l": [1, 2, 4]}"#,
                "/l [1, 2] [1, 2, 3] [1, 2, 4]",
            ),
            (r#"{"l": [1, 2]}"#, r#"{"l": [1]}"#, r#"{"l": [9, 2]}"#, "/l [1, 2] [1] [9, 2]"),
            ("1", "2", "[]", " 1 2 []"),
        ];
        for (base, ours, theirs, expected) in cases {
            let (taken, contested) = three_way(base, ours, theirs);
            assert_eq!(taken, [""; 0]);
            let contested: Vec<_> =
                contested.iter().map(|text| text.replace("\":", "\": ").replace(":  ", ": ")).collect();
            assert_eq!(contested, [expected]);
        }
    }

    #[test]
    fn no_pair_of_containers_is_compared_again_at_every_level_above_it() {
        let deep = |last: i64| {
            let list: Vec<_> = (0..1_000).chain([last]).map(|item| item.to_string()).collect();
            let list = format!(r#"{{"l": [{}], "x": {last}}}"#, list.join(","));
            (0..100).fold(list, |value, _| format!(r#"{{"a": {value}}}"#))
        };
        let [base, ours, theirs] = [1, 2, 3].map(|last| document(&deep(last)));
        let mut walk = ThreeWayWalk::default();
        walk.nodes(Some(base.root()), Some(ours.root()), Some(theirs.root()));
        assert_eq!(walk.contested.len(), 2);
        let compared = walk.comparison.count;
        assert!(compared < 10 * 1_104, "{compared} pairs, and a document has 1,104 places");
    }

    #[test]
    fn the_order_of_members_is_no_conflict_and_goes_with_what_one_side_alone_has_changed() {
        let (base, turned) = (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#);
        assert_eq!(three_way(base, r#"{"a": 5, "b": 2}"#, turned), (vec![], vec![]));
        assert_eq!(three_way(base, turned, r#"{"a": 1, "b": 7}"#), (vec!["/b 7".into()], vec![]));
        assert_eq!(three_way(base, base, turned).0.len(), 1);
    }
}
