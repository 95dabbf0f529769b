//! JSONPath (RFC 9535): what a query finds in a value.
use serde_json::{Map, Number};
use serde_json_path::JsonPath;
use strata_primitives::json::check_json;
use strata_primitives::{Error, ErrorKind, Value};

/// Bytes in the text of a query.
const QUERY_SIZE_MAX: usize = 4096;

/// Brackets and parentheses around any part of a query. The parser recurses, and reads a filter inside a filter
/// twice: its work doubles with each level (1 ms at 8, 64 ms at 14).
const QUERY_DEPTH_MAX: usize = 8;

/// Descents (`..`) in a query. Each finds a place once for every way down to it: a value nested d deep gives
/// d over k matches to k of them.
const QUERY_DESCENTS_MAX: usize = 3;

/// One thing that a query found.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonMatch {
    /// The JSON Pointer of its place.
    pub path: String,
    /// What is there.
    pub value: Value,
}

/// What `path` matches in `value`, in document order. In what is left of an erased value it matches nothing.
///
/// A query reads a picture: nothing in a store changes, and a pointer it gives can be used to write there.
///
/// # Errors
/// `InvalidArgument` for a path that is not JSONPath, is longer than 4096 bytes, nests more than 8 brackets or
/// descends (`..`) more than 3 times, and for a value JSON cannot hold.
///
/// ```
/// let trip = strata::parse_json(r#"{"stays": [{"city": "Oslo", "nights": 2}, {"city": "Bergen", "nights": 1}]}"#).unwrap();
/// let found = strata::query(&trip, "$.stays[?@.nights > 1].city").unwrap();
/// assert_eq!((&*found[0].path, found[0].value.as_str()), ("/stays/0/city", Some("Oslo")));
/// ```
pub fn query(value: &Value, path: &str) -> Result<Vec<JsonMatch>, Error> {
    check_query(path)?;
    let parsed = JsonPath::parse(path)
        .map_err(|error| invalid(format!("{path:?} is not JSONPath: {error}")).with_source(error))?;
    if *value == Value::Erased {
        return Ok(Vec::new());
    }
    check_json(value)?;
    let document = to_serde(value);
    let found = parsed.query_located(&document);
    let matches = found
        .iter()
        .map(|node| JsonMatch { path: node.location().to_json_pointer(), value: from_serde(node.node()) });
    Ok(matches.collect())
}

/// Refuses what would keep the parser busy or overflow its stack.
fn check_query(path: &str) -> Result<(), Error> {
    if path.len() > QUERY_SIZE_MAX {
        return Err(invalid(format!(
            "a JSONPath has at most {QUERY_SIZE_MAX} bytes, this one has {}",
            path.len()
        )));
    }
    let (mut depth, mut deepest, mut descents) = (0usize, 0, 0);
    let (mut quote, mut is_escaped, mut before) = (None, false, 0);
    for byte in path.bytes() {
        match (quote, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'[' | b'(') => depth += 1,
            (None, b']' | b')') => depth = depth.saturating_sub(1),
            (None, b'.') if before == b'.' => descents += 1,
            (None, _) => {}
        }
        deepest = deepest.max(depth);
        before = byte;
    }
    if deepest > QUERY_DEPTH_MAX {
        return Err(invalid(format!(
            "a JSONPath nests at most {QUERY_DEPTH_MAX} brackets, this one nests {deepest}"
        )));
    }
    if descents > QUERY_DESCENTS_MAX {
        return Err(invalid(format!(
            "a JSONPath has at most {QUERY_DESCENTS_MAX} descents, this one has {descents}"
        )));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn to_serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Bytes(_) | Value::Erased => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_serde).collect::<Vec<_>>().into(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), to_serde(member)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn from_serde(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            // Every number here came from an `Int` or a finite `Float`.
            None => number.as_f64().map_or(Value::Null, Value::Float),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_serde).collect()),
        serde_json::Value::Object(members) => {
            Value::Object(members.iter().map(|(name, member)| (name.clone(), from_serde(member))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_at(path: &str, value: Value) -> JsonMatch {
        JsonMatch { path: path.to_owned(), value }
    }
    use crate::json_text::parse_json;

    /// The document of RFC 9535, figure 1.
    const STORE: &str = r#"{ "store": {
        "book": [
            { "category": "reference", "author": "Nigel Rees", "title": "Sayings of the Century", "price": 8.95 },
            { "category": "fiction", "author": "Evelyn Waugh", "title": "Sword of Honour", "price": 12.99 },
            { "category": "fiction", "author": "Herman Melville", "title": "Moby Dick", "isbn": "0-553-21311-3", "price": 8.99 },
            { "category": "fiction", "author": "J. R. R. Tolkien", "title": "The Lord of the Rings", "isbn": "0-395-19395-8", "price": 22.99 }
        ],
        "bicycle": { "color": "red", "price": 399 }
    } }"#;

    #[test]
    fn the_queries_of_rfc_9535_find_what_they_should() {
        let store = parse_json(STORE).unwrap();
        let book = |index: usize| format!("/store/book/{index}");
        let cases: [(&str, Vec<String>); 11] = [
            ("$.store.book[*].author", (0..4).map(|index| book(index) + "/author").collect()),
            ("$..author", (0..4).map(|index| book(index) + "/author").collect()),
            ("$.store.*", vec!["/store/book".into(), "/store/bicycle".into()]),
            ("$..book[2]", vec![book(2)]),
            ("$..book[2].author", vec![book(2) + "/author"]),
            ("$..book[2].publisher", vec![]),
            ("$..book[-1]", vec![book(3)]),
            ("$..book[0,1]", vec![book(0), book(1)]),
            ("$..book[:2]", vec![book(0), book(1)]),
            ("$..book[?@.isbn]", vec![book(2), book(3)]),
            ("$..book[?@.price<10]", vec![book(0), book(2)]),
        ];
        for (path, expected) in cases {
            let found = query(&store, path).unwrap();
            assert_eq!(found.iter().map(|found| found.path.clone()).collect::<Vec<_>>(), expected, "{path}");
        }
        assert_eq!(query(&store, "$").unwrap(), [JsonMatch { path: String::new(), value: store.clone() }]);
        assert_eq!(query(&store, "$..bicycle.price").unwrap()[0].value, Value::Int(399));
        let found = query(&store, "$..book[?search(@.title, 'Moby') && length(@.isbn) > 3].price").unwrap();
        assert_eq!(found, [found_at(&(book(2) + "/price"), Value::Float(8.99))]);
    }

    #[test]
    fn places_are_pointers_with_their_escapes() {
        let value =
            Value::from([("a/b", Value::from([("m~n", vec![Value::Float(1.0), i64::MIN.into()].into())]))]);
        let found = query(&value, "$['a/b']['m~n'][*]").unwrap();
        let expected =
            [found_at("/a~1b/m~0n/0", Value::Float(1.0)), found_at("/a~1b/m~0n/1", i64::MIN.into())];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_that_cannot_be_followed_is_refused() {
        let refusal = |path: &str| {
            let error = query(&Value::Null, path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            error.message().to_owned()
        };
        assert!(refusal("stays").starts_with("\"stays\" is not JSONPath: "));
        for path in ["", "$.", "$[", "$[?", "$[01]", "$ ", "$[?@.a == ]", "$[?unknown(@)]"] {
            assert!(refusal(path).contains("is not JSONPath"), "{path}");
        }
        assert_eq!(refusal(&"$[?(".repeat(1000)), "a JSONPath nests at most 8 brackets, this one nests 2000");
        assert_eq!(
            refusal(&format!("$.{}", "a".repeat(5000))),
            "a JSONPath has at most 4096 bytes, this one has 5002"
        );
        assert!(query(&Value::Null, "$['[[[[[[[[[[[[']").unwrap().is_empty(), "a name may hold brackets");
        let bytes = query(&Value::Bytes(vec![]), "$").unwrap_err();
        assert_eq!(bytes.message(), "a JSON document cannot hold bytes (at \"\")");
    }

    #[test]
    fn a_path_may_nest_and_descend_to_the_limit_and_no_further() {
        let value = parse_json("[[[[[1]]]]]").unwrap();
        let nested = |count: usize| format!("$[?{}@{}]", "(".repeat(count), ")".repeat(count));
        assert_eq!(query(&value, &nested(7)).unwrap().len(), 1);
        assert!(query(&value, &nested(8)).unwrap_err().message().ends_with("this one nests 9"));
        assert_eq!(query(&value, &format!("${}", "[?@".repeat(8) + &"]".repeat(8))).unwrap().len(), 0);
        assert_eq!(query(&value, "$..*..*..*").unwrap().len(), 10, "5 over 3 ways down");
        let refused = query(&value, "$..*..*..*..*").unwrap_err();
        assert_eq!(refused.message(), "a JSONPath has at most 3 descents, this one has 4");
    }
}
