//! The parser against another one, on generated documents, and what it promises beyond that one.

use flow_model::{
    diagnostic::Diagnostic,
    span::{FileId, SourceFile},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Kind, Node, parse, parse_integer};
use crate::report::Report;

/// The documents of a text as JSON, and the problems.
fn read(text: &str) -> (Vec<Value>, Vec<Diagnostic>) {
    let file = SourceFile::new("a.yaml".into(), text.into());
    let mut report = Report::default();
    let tree = parse(FileId(0), &file, &mut report);
    (tree.documents().map(value).collect(), report.finish())
}

fn value(node: Node<'_>) -> Value {
    let text = node.text().unwrap_or_default();
    match node.kind() {
        Kind::Text => json!(text),
        Kind::Int => parse_integer(text).map_or_else(|| json!(float(text)), |number| json!(number)),
        Kind::Float => json!(float(text)),
        Kind::Bool => json!(text.eq_ignore_ascii_case("true")),
        Kind::Null => Value::Null,
        Kind::Broken => json!("broken"),
        Kind::List => node.items().map(value).collect(),
        Kind::Object => node
            .entries()
            .map(|(key, node)| (key.text().unwrap_or_default().to_owned(), value(node)))
            .collect(),
    }
}

fn float(text: &str) -> f64 {
    text.trim_start_matches('+').parse().unwrap_or(0.0)
}

/// The same by the other parser; `None` if it refuses.
fn oracle(text: &str) -> Option<Value> {
    serde_yaml::from_str::<serde_yaml::Value>(text).ok().map(plain)
}

fn plain(value: serde_yaml::Value) -> Value {
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => json!(flag),
        Yaml::Number(number) => match number.as_i64() {
            Some(whole) => json!(whole),
            None => json!(number.as_f64().unwrap_or_default()),
        },
        Yaml::String(text) => json!(text),
        Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            entries.into_iter().map(|(key, value)| (key_text(&key), plain(value))).collect()
        }
        Yaml::Tagged(tagged) => plain(tagged.value),
    }
}

fn key_text(key: &serde_yaml::Value) -> String {
    match key {
        serde_yaml::Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}

fn document() -> impl Strategy<Value = Value> {
    let awkward = prop::sample::select(vec![
        "NO",
        "yes",
        "on",
        "~",
        "null",
        "true",
        "1",
        "1.5",
        "0x1f",
        "1e3",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#x",
        "",
        " ",
        "\t",
        "a\nb",
        "a\n\nb\n",
        "é",
        "😀",
        "\"",
        "'",
        "\\",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "{",
        "}",
        "[",
        "]",
        ",",
        "?",
        ": ",
        "<<",
        "=",
        "2026-11-20",
        "12:30:45",
        "\u{85}",
        "\u{feff}",
        "---",
        "...",
        "key with spaces",
        "trailing ",
        "/pfs/out/*",
        "$(echo hi)",
    ])
    .prop_map(str::to_owned);
    let text = prop_oneof![awkward, "[a-z]{1,8}", "\\PC{0,12}"];
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let keys = prop_oneof!["[a-z_]{1,6}", "[A-Z][a-z ]{0,5}x"];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn json_is_read_as_json(document in document()) {
        for text in [serde_json::to_string(&document).unwrap(), serde_json::to_string_pretty(&document).unwrap()] {
            let (documents, problems) = read(&text);
            prop_assert!(problems.is_empty(), "{text}\n{problems:?}");
            prop_assert_eq!(&documents, &vec![document.clone()], "{}", text);
        }
    }

    #[test]
    fn yaml_is_read_as_the_other_parser_reads_it(document in document()) {
        let text = serde_yaml::to_string(&document).unwrap();
        if let Some(wanted) = oracle(&text) {
            let (documents, problems) = read(&text);
            prop_assert!(problems.is_empty(), "{text}\n{problems:?}");
            prop_assert_eq!(&documents, &vec![wanted], "{}", text);
        }
    }

    #[test]
    fn loose_yaml_is_read_alike_or_refused(lines in prop::collection::vec(line(), 1..8)) {
        let text = lines.concat();
        let (documents, problems) = read(&text);
        if let (Some(wanted), true) = (oracle(&text), problems.is_empty()) {
            let documents = if documents.is_empty() { vec![Value::Null] } else { documents };
            prop_assert_eq!(&documents, &vec![wanted], "{}", text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", junk in prop::collection::vec(any::<char>(), 0..60)) {
        read(&text);
        read(&junk.into_iter().collect::<String>());
    }

    #[test]
    fn spans_lie_in_the_text_and_hold_what_they_say(document in document()) {
        let text = serde_yaml::to_string(&document).unwrap();
        let file = SourceFile::new("a.yaml".into(), text.clone());
        let tree = parse(FileId(0), &file, &mut Report::default());
        let mut open: Vec<Node<'_>> = tree.documents().collect();
        while let Some(node) = open.pop() {
            let span = node.span();
            let written = text.get(span.start as usize..span.end as usize);
            prop_assert!(written.is_some(), "{span:?} in {text:?}");
            if matches!(node.kind(), Kind::Int | Kind::Bool) {
                prop_assert_eq!(written, node.text());
            }
            open.extend(node.items());
            for (key, value) in node.entries() {
                prop_assert!(key.span().start >= span.start && key.span().end <= span.end);
                open.extend([key, value]);
            }
        }
    }
}

/// A line of YAML as somebody may type it.
fn line() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "",
        " x",
        " 1",
        " 'q'",
        " \"d\\n\"",
        " [a, b: c]",
        " {a: 1, b: [c]}",
        " # comment",
        " yes",
        " ~",
        " a: b",
        " |",
        " >-",
        " - x",
        " \"\\u00e9\"",
        " x y  z",
        " 0o17",
        " true",
        " .5",
        " ? z",
    ]);
    (0..4_usize, prop::sample::select(vec!["a:", "b:", "c d:", "-", "- a:", "text", "- - x", "'k':"]), value)
        .prop_map(|(indent, start, value)| format!("{}{start}{value}\n", " ".repeat(indent * 2)))
}

#[test]
fn several_documents_in_every_form() {
    for text in [
        "a: 1\n---\nb: 2\n",
        "---\na: 1\n...\n---\nb: 2\n...\n",
        "{\"a\": 1}\n{\"b\": 2}",
        "{\"a\": 1}{\"b\": 2}\n",
        "{\"a\": 1}\n\n---\n{\"b\": 2}\n",
        "\u{feff}{\"a\":\t1}\r\n{\r\n\t\"b\": 2\r\n}\r\n",
    ] {
        let (documents, problems) = read(text);
        assert!(problems.is_empty(), "{text:?}: {problems:?}");
        assert_eq!(documents, [json!({"a": 1}), json!({"b": 2})], "{text:?}");
    }
    assert_eq!(read("").0, Vec::<Value>::new());
}

#[test]
fn merge_keys_do_not_override_and_the_first_wins() {
    let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: {'<<': text}\n";
    let (documents, problems) = read(text);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(documents[0]["c"], json!({"x": 3, "y": 1, "z": 2}));
    assert_eq!(documents[0]["d"], json!({"<<": "text"}));
}

#[test]
fn of_a_key_given_twice_the_first_holds() {
    let keys: String = (0..40).map(|number| format!("k{number}: 1\n")).collect();
    let (documents, problems) = read(&format!("{keys}k7: 2\nk7: 3\nk39: 2\n"));
    assert_eq!(problems.len(), 3);
    assert_eq!(documents[0]["k7"], json!(1));
    assert_eq!(documents[0].as_object().map(serde_json::Map::len), Some(40));
}

#[test]
fn escapes_of_json_are_characters() {
    let (documents, problems) = read(r#"{"a": "\ud83d\ude00\u00e9\/\t"}"#);
    assert!(problems.is_empty());
    assert_eq!(documents, [json!({"a": "😀é/\t"})]);
}
