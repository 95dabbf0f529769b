//! Random changes of a document against the plainest tree there is; a failure prints the history, shrunk.
use proptest::prelude::*;
use strata_primitives::json::{Change, Terms, append, merge, patch, remove, set};
use strata_primitives::*;

/// A tree without caches and without sharing: what versions a place has is found by looking everywhere.
#[derive(Debug, Clone)]
struct Model {
    written: u64,
    /// The last commit that took a member out of this object.
    removed: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    Array(Vec<Model>),
    Object(Vec<(String, Model)>),
}

impl Model {
    fn new(value: &Value, version: u64) -> Self {
        let content = match value {
            Value::Array(items) => {
                Content::Array(items.iter().map(|item| Self::new(item, version)).collect())
            }
            Value::Object(members) => Content::Object(
                members.iter().map(|(name, value)| (name.clone(), Self::new(value, version))).collect(),
            ),
            scalar => Content::Scalar(scalar.clone()),
        };
        Self { written: version, removed: 0, content }
    }

    fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Array(items) => Value::Array(items.iter().map(Self::value).collect()),
            Content::Object(members) => {
                Value::Object(members.iter().map(|(name, member)| (name.clone(), member.value())).collect())
            }
        }
    }

    fn child(&mut self, token: &str) -> Option<&mut Model> {
        match &mut self.content {
            Content::Scalar(_) => None,
            Content::Array(items) => items.get_mut(token.parse::<usize>().ok()?),
            Content::Object(members) => {
                members.iter_mut().find(|(name, _)| name == token).map(|(_, member)| member)
            }
        }
    }

    fn newest(&self) -> u64 {
        let inside = match &self.content {
            Content::Scalar(_) => None,
            Content::Array(items) => items.iter().map(Self::newest).max(),
            Content::Object(members) => members.iter().map(|(_, member)| member.newest()).max(),
        };
        self.written.max(self.removed).max(inside.unwrap_or(0))
    }

    fn region(&mut self, path: &Pointer) -> Option<u64> {
        let (mut node, mut around) = (self, 0);
        for token in path.tokens() {
            around = around.max(node.written);
            node = node.child(&token)?;
        }
        Some(around.max(node.newest()))
    }

    fn take(&mut self, write: &JsonWrite, version: u64) {
        let path = write.path();
        let new = write.value().map(|value| Model::new(&value.to_value().unwrap(), version));
        let Some((parent, token)) = path.split_last() else {
            *self = new.unwrap();
            return;
        };
        let mut node = self;
        for token in parent.tokens() {
            node = node.child(&token).unwrap();
        }
        match (&mut node.content, write) {
            (Content::Array(items), JsonWrite::Set { .. }) => {
                items[token.parse::<usize>().unwrap()] = new.unwrap();
            }
            (Content::Array(items), JsonWrite::Insert { .. }) => {
                items.insert(token.parse().unwrap(), new.unwrap());
                node.written = version;
            }
            (Content::Array(items), _) => {
                items.remove(token.parse().unwrap());
                node.written = version;
            }
            (Content::Object(members), JsonWrite::Remove { .. }) => {
                members.retain(|(name, _)| *name != token);
                node.removed = version;
            }
            (Content::Object(members), _) => match members.iter_mut().find(|(name, _)| *name == token) {
                Some((_, member)) => *member = new.unwrap(),
                None => members.push((token.into_owned(), new.unwrap())),
            },
            (Content::Scalar(_), _) => panic!("{write:?} into a scalar"),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    SetMember { object: u8, name: u8, value: u8 },
    SetInside { item: u8, value: u8 },
    SetItem { item: u8, value: u8 },
    RemoveMember { name: u8 },
    RemoveItem { item: u8 },
    Insert { item: u8, value: u8 },
    Append { count: u8 },
    Name { first: u8, count: u8 },
    Drain { count: u8 },
    Forget { first: u8, count: u8 },
    Move { item: u8, name: u8 },
    Merge { name: u8, other: u8, value: u8 },
    Replace,
}

fn steps() -> impl Strategy<Value = Step> {
    let byte = any::<u8>;
    prop_oneof![
        3 => (byte(), byte(), byte()).prop_map(|(object, name, value)| Step::SetMember { object, name, value }),
        3 => (byte(), byte()).prop_map(|(item, value)| Step::SetInside { item, value }),
        2 => (byte(), byte()).prop_map(|(item, value)| Step::SetItem { item, value }),
        2 => byte().prop_map(|name| Step::RemoveMember { name }),
        2 => byte().prop_map(|item| Step::RemoveItem { item }),
        2 => (byte(), byte()).prop_map(|(item, value)| Step::Insert { item, value }),
        1 => (0u8..90).prop_map(|count| Step::Append { count }),
        1 => (byte(), 0u8..90).prop_map(|(first, count)| Step::Name { first, count }),
        1 => (0u8..90).prop_map(|count| Step::Drain { count }),
        1 => (byte(), 0u8..90).prop_map(|(first, count)| Step::Forget { first, count }),
        1 => (byte(), byte()).prop_map(|(item, name)| Step::Move { item, name }),
        1 => (byte(), byte(), byte()).prop_map(|(name, other, value)| Step::Merge { name, other, value }),
        1 => Just(Step::Replace),
    ]
}

fn value(seed: u8) -> Value {
    match seed % 5 {
        0 => Value::Null,
        1 => i64::from(seed).into(),
        2 => "x".repeat(usize::from(seed)).into(),
        3 => vec![Value::from(f64::from(seed)), true.into()].into(),
        _ => Value::from([("k", i64::from(seed).into()), ("l", Value::Array(vec![]))]),
    }
}

fn encode(value: &Value) -> Encoded {
    Encoded::from_value(value, &Limits::default(), || EntityRef::kv(RunId::from_bytes([0; 16]), "k")).unwrap()
}

fn place(text: &str) -> Pointer {
    Pointer::parse(text, 256).unwrap()
}

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version) }
}

/// An array `a` and an object `o`, both wandering over the border between short and long.
fn beginning() -> Value {
    Value::from([("a", Value::Array(vec![])), ("o", Value::Object(vec![]))])
}

struct Driver {
    document: Document,
    model: Model,
    version: u64,
}

impl Driver {
    fn item(&self, seed: u8) -> Option<String> {
        let count = self.model.value().get("a")?.as_array()?.len();
        (count > 0).then(|| format!("/a/{}", usize::from(seed) % count))
    }

    /// Takes what was decided into document and model, the document in place as a replay does.
    fn take(&mut self, decided: Result<Change, Error>) {
        let change = decided.unwrap();
        for write in &change.writes {
            let mut bytes = Vec::new();
            write.encode(&mut bytes);
            let write = JsonWrite::decode(&mut &bytes[..]).unwrap();
            assert_eq!(self.document.check(&write), Ok(()));
            self.document.apply(&write, stamp(self.version));
            self.model.take(&write, self.version);
        }
        self.compare(&change.document);
        self.compare(&self.document.clone());
    }

    fn compare(&mut self, document: &Document) {
        let expected = self.model.value();
        let found = document.get(&Pointer::root()).unwrap();
        assert_eq!(found.value, encode(&expected));
        assert_eq!(document.size(), found.value.len());
        let mut places =
            vec![place(""), place("/a"), place("/o"), place("/o/n3"), place("/a/0/k"), place("/o/n1/1")];
        places.extend([0, 7, 15, 16, 17, 31, 32, 33, 63, 64, 100].map(|index| place(&format!("/a/{index}"))));
        places.extend((0..12).map(|index| place(&format!("/o/n{}", index * 9))));
        for place in places {
            let region = document.region(&place).map(|stamp| stamp.version.0);
            assert_eq!(region, self.model.region(&place), "{place:?}");
        }
    }

    fn step(&mut self, step: &Step) {
        let limits = Limits::default();
        self.version += 1;
        let terms = Terms { stamp: stamp(self.version), limits: &limits };
        let named = |name: u8| format!("/o/n{}", name % 100);
        let document = self.document.clone();
        match step {
            Step::SetMember { object, name, value: seed } => {
                let inner = self.model.region(&place("/o/inner")).is_some();
                let path = match (object % 3, inner) {
                    (0, true) => format!("/o/inner/n{name}"),
                    (0, false) => {
                        self.take(set(&document, &place("/o/inner"), encode(&Value::Object(vec![])), terms));
                        return;
                    }
                    _ => named(*name),
                };
                self.take(set(&document, &place(&path), encode(&value(*seed)), terms));
            }
            Step::SetInside { item, value: seed } => {
                let Some(path) = self.item(*item) else { return };
                let inside = place(&format!("{path}/k"));
                if self.model.region(&inside).is_some() {
                    self.take(set(&document, &inside, encode(&value(*seed)), terms));
                }
            }
            Step::SetItem { item, value: seed } => {
                let Some(path) = self.item(*item) else { return };
                self.take(set(&document, &place(&path), encode(&value(*seed)), terms));
            }
            Step::RemoveMember { name } => {
                if let Some(change) = remove(&document, &place(&named(*name)), terms).unwrap() {
                    self.take(Ok(change));
                }
            }
            Step::RemoveItem { item } => {
                let Some(path) = self.item(*item) else { return };
                self.take(Ok(remove(&document, &place(&path), terms).unwrap().unwrap()));
            }
            Step::Insert { item, value: seed } => {
                let path = place(&self.item(*item).unwrap_or("/a/-".into()));
                let operation = PatchOperation::Add { path, value: encode(&value(*seed)) };
                self.take(patch(&document, &[operation], terms));
            }
            Step::Append { count } => {
                for seed in 0..*count {
                    let document = self.document.clone();
                    let change = append(&document, &place("/a"), encode(&value(seed)), terms).unwrap();
                    self.absorb(change);
                }
                self.compare(&self.document.clone());
            }
            Step::Name { first, count } => {
                let members = (*first..first.saturating_add(*count))
                    .map(|name| (format!("n{}", name % 100), value(name)));
                let members: std::collections::BTreeMap<_, _> =
                    members.filter(|(_, value)| !value.is_null()).collect();
                let patch = Value::Object(members.into_iter().collect());
                self.take(merge(&document, &place("/o"), &patch, terms));
            }
            Step::Drain { count } => {
                for _ in 0..*count {
                    let document = self.document.clone();
                    let Some(path) = self.item(*count) else { break };
                    let change = remove(&document, &place(&path), terms).unwrap().unwrap();
                    self.absorb(change);
                }
                self.compare(&self.document.clone());
            }
            Step::Forget { first, count } => {
                let nulls = (0..*count)
                    .map(|name| (format!("n{}", (u32::from(*first) + u32::from(name)) % 100), Value::Null));
                self.take(merge(&document, &place("/o"), &Value::Object(nulls.collect()), terms));
            }
            Step::Move { item, name } => {
                let Some(from) = self.item(*item) else { return };
                let operation = PatchOperation::Move { from: place(&from), path: place(&named(*name)) };
                self.take(patch(&document, &[operation], terms));
            }
            Step::Merge { name, other, value: seed } => {
                let patch = Value::from([(
                    "o",
                    Value::Object(vec![
                        (format!("n{}", name % 100), value(*seed)),
                        (format!("m{other}"), Value::Null),
                    ]),
                )]);
                self.take(merge(&document, &Pointer::root(), &patch, terms));
            }
            Step::Replace => self.take(set(&document, &Pointer::root(), encode(&beginning()), terms)),
        }
    }

    fn absorb(&mut self, change: Change) {
        change.writes.iter().for_each(|write| self.model.take(write, self.version));
        self.document = change.document;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_document_behaves_like_a_plain_tree(history in proptest::collection::vec(steps(), 1..40)) {
        let document = Document::from_encoded(&encode(&beginning()), stamp(1)).unwrap();
        let mut driver = Driver { document, model: Model::new(&beginning(), 1), version: 1 };
        let mut pictures: Vec<(Document, Encoded, Stamp)> = Vec::new();
        for step in &history {
            let root = driver.document.get(&Pointer::root()).unwrap();
            pictures.push((driver.document.clone(), root.value, root.stamp));
            driver.step(step);
            for (picture, value, stamp) in &pictures {
                let found = picture.get(&Pointer::root()).unwrap();
                prop_assert!(found.value == *value && found.stamp == *stamp, "a clone changed");
            }
        }
    }
}

#[test]
fn the_largest_containers_keep_their_order() {
    let count = 10_000;
    let members = (0..count).map(|index| (format!("n{index}"), Value::Int(index)));
    let value = Value::from([
        ("o", Value::Object(members.collect())),
        ("a", Value::Array((0..count).map(Value::Int).collect())),
    ]);
    let mut document = Document::from_encoded(&encode(&value), stamp(1)).unwrap();
    assert_eq!(document.get(&Pointer::root()).unwrap().value, encode(&value));
    let (kept, mut model) = (document.clone(), Model::new(&value, 1));
    for version in 2..40 {
        let index = version * 197;
        for write in [
            JsonWrite::Remove { path: place(&format!("/a/{index}")) },
            JsonWrite::Remove { path: place(&format!("/o/n{index}")) },
            JsonWrite::Insert { path: place(&format!("/a/{}", index / 2)), value: encode(&Value::Null) },
            JsonWrite::Set { path: place(&format!("/o/n{index}")), value: encode(&Value::Null) },
            JsonWrite::Set { path: place(&format!("/o/n{}", index + 1)), value: encode(&Value::Null) },
        ] {
            assert_eq!(document.check(&write), Ok(()));
            document.apply(&write, stamp(version));
            model.take(&write, version);
        }
    }
    assert_eq!(document.get(&Pointer::root()).unwrap().value, encode(&model.value()));
    assert_eq!(kept.get(&Pointer::root()).unwrap().value, encode(&value));
}
