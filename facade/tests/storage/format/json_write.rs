//! A write to a document, done to a plain value as docs/format.md says.

use strata::Value;

/// Does one write: 1 put, 2 set, 3 insert, 4 remove.
pub(crate) fn apply(document: &mut Value, tag: u8, path: &str, value: Option<Value>) {
    if tag == 1 {
        *document = value.unwrap();
        return;
    }
    let tokens: Vec<String> =
        path.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    let (last, around) = tokens.split_last().unwrap();
    let container = around.iter().fold(document, |value, token| child(value, token));
    match (tag, container) {
        (2, Value::Object(members)) => match members.iter_mut().find(|(name, _)| name == last) {
            Some((_, held)) => *held = value.unwrap(),
            None => members.push((last.clone(), value.unwrap())),
        },
        (2, Value::Array(items)) => items[last.parse::<usize>().unwrap()] = value.unwrap(),
        (3, Value::Array(items)) => items.insert(last.parse().unwrap(), value.unwrap()),
        (4, Value::Object(members)) => members.retain(|(name, _)| name != last),
        (4, Value::Array(items)) => drop(items.remove(last.parse().unwrap())),
        (tag, other) => panic!("a write {tag} into {other}"),
    }
}

fn child<'a>(value: &'a mut Value, token: &str) -> &'a mut Value {
    match value {
        Value::Array(items) => &mut items[token.parse::<usize>().unwrap()],
        Value::Object(members) => &mut members.iter_mut().find(|(name, _)| name == token).unwrap().1,
        other => panic!("nothing is inside {other}"),
    }
}
