//! Where two documents differ.
use super::array::Items;
use super::document::Document;
use super::node::{Content, Node};
use super::object::Members;
use super::pointer::Pointer;
use crate::encoded::Encoded;
use std::borrow::Cow;
use std::sync::Arc;

/// One place at which two documents differ. Nothing around it does but for what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceDifference {
    /// The place, the same in both documents.
    pub path: Pointer,
    /// What was there; `None` where nothing was.
    pub before: Option<Encoded>,
    /// What is there now; `None` where nothing is.
    pub after: Option<Encoded>,
}

impl Document {
    /// Whether it shares all it has with another, so that both are the same without being looked at.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        match (self.root().content(), other.root().content()) {
            (Content::Array(own), Content::Array(other)) => Arc::ptr_eq(own, other),
            (Content::Object(own), Content::Object(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// The places at which `after` differs from this document, in the order of the document; of a place that is told everything
    /// in it is.
    ///
    /// Objects are compared by members, arrays item by item, and what one has more of at its end was added or removed. An object
    /// whose members stand in another order than setting, removing and adding some would leave has changed as a whole, since
    /// that order is part of it; so has what is of another kind, and a number that is whole in one and not in the other.
    ///
    /// Which commit wrote what makes no difference. What both share is not looked at; of a container that differs each child is.
    ///
    /// ```
    /// use strata_primitives::{Document, Encoded, EntityRef, Limits, RunId, Stamp, Value};
    ///
    /// let document = |value: Value| {
    ///     let run = || EntityRef::run(RunId::from_bytes([0; 16]));
    ///     let encoded = Encoded::from_value(&value, &Limits::default(), run).unwrap();
    ///     Document::from_encoded(&encoded, Stamp::default()).unwrap()
    /// };
    /// let list = |items: Vec<i64>| Value::from([("list", Value::Array(items.into_iter().map(Value::Int).collect()))]);
    /// let differences = document(list(vec![1, 2])).differences(&document(list(vec![1, 3, 4])));
    /// let paths: Vec<_> = differences.iter().map(|difference| difference.path.as_str()).collect();
    /// assert_eq!(paths, ["/list/1", "/list/2"]);
    /// assert!(differences[1].before.is_none());
    /// ```
    pub fn differences(&self, after: &Document) -> Vec<PlaceDifference> {
        let mut walk = Walk::default();
        walk.nodes(self.root(), after.root());
        walk.found
    }
}

/// A walk through two documents at once.
#[derive(Default)]
pub(super) struct Walk<'a> {
    path: Vec<Token<'a>>,
    pub(super) found: Vec<PlaceDifference>,
}

#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Walk<'a> {
    fn nodes(&mut self, before: &'a Node, after: &'a Node) {
        match (before.content(), after.content()) {
            (Content::Array(own), Content::Array(other)) => {
                if !Arc::ptr_eq(own, other) {
                    self.items(&own.children, &other.children);
                }
            }
            (Content::Object(own), Content::Object(other)) => {
                if !Arc::ptr_eq(own, other) && !self.members(&own.children, &other.children) {
                    self.put(Some(before), Some(after));
                }
            }
            (before_content, after_content) if is_same_scalar(before_content, after_content) => {}
            _ => self.put(Some(before), Some(after)),
        }
    }

    fn items(&mut self, before: &'a Items, after: &'a Items) {
        let (before, after) = (before.to_vec(), after.to_vec());
        for index in 0..before.len().max(after.len()) {
            self.below(Token::Index(index), before.get(index).copied(), after.get(index).copied());
        }
    }

    /// False, and nothing is told, where the members stand in another order.
    fn members(&mut self, before: &'a Members, after: &'a Members) -> bool {
        let (was, is) = (before.to_vec(), after.to_vec());
        let same = was.iter().zip(&is).take_while(|((was, _), (is, _))| was == is).count();
        let (was_rest, is_rest) = (&was[same..], &is[same..]);
        // Those that stay come first, in their order, and behind them those that are new.
        let mut stay = was_rest.iter().filter(|(name, _)| after.get(name).is_some());
        let stay_count = stay.clone().count();
        let is_in_order = stay_count <= is_rest.len()
            && is_rest[..stay_count].iter().all(|(name, _)| stay.next().is_some_and(|(was, _)| was == name));
        if !is_in_order {
            return false;
        }
        for ((name, before), (_, after)) in was[..same].iter().zip(&is) {
            self.below(Token::Name(name), Some(before), Some(after));
        }
        for (name, before) in was_rest {
            self.below(Token::Name(name), Some(before), after.get(name));
        }
        for (name, after) in &is_rest[stay_count..] {
            self.below(Token::Name(name), None, Some(after));
        }
        true
    }

    fn below(&mut self, token: Token<'a>, before: Option<&'a Node>, after: Option<&'a Node>) {
        self.enter(token);
        self.pair(before, after);
        self.leave();
    }

    /// What stands where the walk is, in both.
    pub(super) fn pair(&mut self, before: Option<&'a Node>, after: Option<&'a Node>) {
        match (before, after) {
            (Some(before), Some(after)) => self.nodes(before, after),
            _ => self.put(before, after),
        }
    }

    pub(super) fn enter(&mut self, token: Token<'a>) {
        self.path.push(token);
    }

    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// Where it is.
    pub(super) fn path(&self) -> Pointer {
        self.path.iter().fold(Pointer::root(), |path, token| {
            let token = match token {
                Token::Name(name) => Cow::Borrowed(*name),
                Token::Index(index) => Cow::Owned(index.to_string()),
            };
            path.join(&token)
        })
    }

    fn put(&mut self, before: Option<&Node>, after: Option<&Node>) {
        let (before, after) = (before.map(Node::to_encoded), after.map(Node::to_encoded));
        self.found.push(PlaceDifference { path: self.path(), before, after });
    }
}

/// Whether both are the same value and no containers; a float has one bit pattern here.
pub(super) fn is_same_scalar(before: &Content, after: &Content) -> bool {
    match (before, after) {
        (Content::Null, Content::Null) | (Content::Erased, Content::Erased) => true,
        (Content::Bool(before), Content::Bool(after)) => before == after,
        (Content::Int(before), Content::Int(after)) => before == after,
        (Content::Float(before), Content::Float(after)) => before.to_bits() == after.to_bits(),
        (Content::String(before), Content::String(after)) => before == after,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{remove, set};
    use super::super::samples::{document, encoded, place, stamp, terms, value_of};
    use super::super::write::JsonWrite;
    use super::*;

    /// The places that differ, with what was and is there as JSON text.
    fn differences(before: &str, after: &str) -> Vec<String> {
        let text = |value: &Option<Encoded>| {
            value.as_ref().map_or("-".into(), |value| value.to_value().unwrap().to_string())
        };
        let found = document(before).differences(&document(after));
        found
            .iter()
            .map(|found| format!("{} {} {}", found.path, text(&found.before), text(&found.after)))
            .collect()
    }

    /// The document that is made of another by writing what differs.
    fn written(before: &Document, differences: &[PlaceDifference]) -> Document {
        let mut document = before.clone();
        let (gone, there): (Vec<_>, Vec<_>) = differences.iter().partition(|found| found.after.is_none());
        for found in there {
            let value = found.after.clone().expect("it is there");
            document = set(&document, &found.path, value, terms(9)).unwrap().document;
        }
        for found in gone.iter().rev() {
            document = remove(&document, &found.path, terms(9)).unwrap().unwrap().document;
        }
        document
    }

    #[test]
    fn members_and_items_are_told_by_their_places() {
        let before = r#"{"a": 1, "b": {"x": [1, 2, 3], "gone": null}, "c": "s", "d/~": true}"#;
        let after = r#"{"a": 1.0, "b": {"x": [1, 5], "new": {"y": 1}}, "c": "s", "d/~": false}"#;
        let expected = [
            "/a 1 1.0",
            "/b/x/1 2 5",
            "/b/x/2 3 -",
            "/b/gone null -",
            r#"/b/new - {"y": 1}"#,
            "/d~1~0 true false",
        ];
        let found: Vec<String> = differences(before, after)
            .iter()
            .map(|text| text.replace("\": ", "\":").replace("\":", "\": "))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(differences(before, before), [""; 0]);
    }

    #[test]
    fn what_is_of_another_kind_has_changed_as_a_whole() {
        assert_eq!(differences("[1]", "{}"), [" [1] {}"]);
        assert_eq!(differences(r#"{"a": []}"#, r#"{"a": 0}"#), ["/a [] 0"]);
        let (erased, document) = (Document::erased(stamp(3)), document("1"));
        assert_eq!(document.differences(&erased)[0].after, Some(Encoded::erased()));
        assert_eq!(erased.differences(&Document::erased(stamp(5))), []);
    }

    #[test]
    fn members_in_another_order_are_another_object() {
        let pairs = [
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#, 1),
            (r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "new": 0, "b": 2}"#, 1),
            (r#"{"a": 1, "b": 2, "c": 3}"#, r#"{"b": 2, "c": 3, "new": 0}"#, 2),
            (r#"{"a": 1, "b": 2, "c": 3}"#, r#"{"c": 3, "b": 2}"#, 1),
            (r#"{"a": 1}"#, r#"{"b": 1}"#, 2),
        ];
        for (before, after, count) in pairs {
            assert_eq!(differences(before, after).len(), count, "{before} and {after}");
            let (before, after) = (document(before), document(after));
            let differences = before.differences(&after);
            assert_eq!(value_of(&written(&before, &differences)), value_of(&after));
        }
    }

    #[test]
    fn which_commit_wrote_a_place_makes_no_difference() {
        let before = document(r#"{"a": [1, 2]}"#);
        let mut after = before.clone();
        after.apply(&JsonWrite::Set { path: place("/a/0"), value: encoded("1") }, stamp(9));
        assert_eq!(before.differences(&after), []);
        assert!(before.is_shared_with(&before.clone()) && !before.is_shared_with(&after));
    }

    #[test]
    fn writing_what_differs_makes_one_document_of_the_other() {
        let texts = [
            "null",
            "7",
            "[]",
            "[[1, 2], [3]]",
            "[[1], [3, 4], 5]",
            r#"{"a": {"b": {"c": 1}}}"#,
            r#"{"a": {"b": {"c": 2, "d": []}}, "e": 1}"#,
            r#"{"e": 1, "a": {"b": {}}}"#,
        ];
        let long = |count: usize, step: usize| {
            let members: Vec<String> =
                (0..count).step_by(step).map(|index| format!("\"m{index}\": [{index}]")).collect();
            let items: Vec<String> = (0..count).step_by(step).map(|index| index.to_string()).collect();
            format!("{{\"o\": {{{}}}, \"l\": [{}]}}", members.join(", "), items.join(", "))
        };
        let long = [long(200, 1), long(200, 3), long(90, 1)];
        let all: Vec<&str> = texts.into_iter().chain(long.iter().map(String::as_str)).collect();
        for before in &all {
            for after in &all {
                let (before, after) = (document(before), document(after));
                let differences = before.differences(&after);
                assert_eq!(value_of(&written(&before, &differences)), value_of(&after));
                assert_eq!(differences.is_empty(), value_of(&before) == value_of(&after));
            }
        }
    }

    #[test]
    fn what_both_share_is_not_looked_at() {
        // A comparison that walked what is shared would look at a million of nodes a thousand times.
        let row = format!("[{}]", (0..1_000).map(|index| index.to_string()).collect::<Vec<_>>().join(", "));
        let before = document(&format!("[{}]", vec![row; 1_000].join(", ")));
        for round in 0..1_000 {
            let mut after = before.clone();
            after.apply(
                &JsonWrite::Set { path: place(&format!("/{round}/{round}")), value: encoded("-1") },
                stamp(9),
            );
            assert_eq!(before.differences(&after).len(), 1);
        }
    }
}
