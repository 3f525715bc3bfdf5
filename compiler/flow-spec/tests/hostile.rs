//! Input that is made to hurt: each is refused with a place, quickly, and without much memory.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use flow_model::{diagnostic::Diagnostic, name::ProjectName, span::SourceMap};
use flow_spec::{KnownRepos, MAX_FILE_BYTES, compile, decode};
use proptest::prelude::*;

fn diagnostics(text: impl Into<String>) -> Vec<Diagnostic> {
    let mut sources = SourceMap::default();
    sources.add("a.yaml", text);
    let compiled = compile(&sources, &KnownRepos::none(ProjectName::parse("test").unwrap()));
    assert!(compiled.diagnostics.iter().all(|diagnostic| diagnostic.primary.is_some()));
    compiled.diagnostics
}

/// The code of the first problem.
fn code(text: impl Into<String>) -> &'static str {
    diagnostics(text).first().map_or("none", |diagnostic| diagnostic.code.slug)
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(50_000)] {
        assert_eq!(code(&text), "too-deep", "{}", &text[..8]);
    }
    let stairs: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(code(stairs), "too-deep");
    let chain: String = (1..2_000).map(|n| format!("k{n}: &k{n} [*k{}]\n", n - 1)).collect();
    assert_eq!(code(format!("k0: &k0 x\n{chain}")), "too-deep");
    let input = format!("{}{{pfs: {{repo: r, glob: /}}}}{}", "{cross: [".repeat(60), "]}".repeat(60));
    assert_eq!(code(format!("pipeline: {{name: p}}\ntransform: {{cmd: [x]}}\ninput: {input}\n")), "none");
}

#[test]
fn bombs_are_refused() {
    let step = |n: usize| format!("k{n}: &k{n} [{}]\n", vec![format!("*k{}", n - 1); 10].join(", "));
    let aliases: String = (1..12).map(step).collect();
    assert_eq!(code(format!("k0: &k0 x\n{aliases}")), "too-many-values");
    let wide: String = (0..2_000).map(|n| format!("  a{n}: 1\n")).collect();
    let merges: String = (0..10_000).map(|n| format!("m{n}: {{<<: *w}}\n")).collect();
    assert_eq!(code(format!("w: &w\n{wide}{merges}")), "too-many-values");
    let lists = vec!["*w"; 10_000].join(", ");
    assert_eq!(code(format!("w: &w\n{wide}m: {{<<: [{lists}]}}\n")), "too-many-values");
    let itself = diagnostics("a: &a [*a]\n");
    assert!(itself.iter().any(|diagnostic| diagnostic.code.slug == "recursive-alias"));
}

#[test]
fn large_files_are_refused_unread() {
    assert_eq!(code("\u{1}{[".repeat(35_000_000)), "file-too-large");
    assert_eq!(code("a".repeat(MAX_FILE_BYTES + 1)), "file-too-large");
}

#[test]
fn odd_characters_are_located() {
    for text in
        ["a: x\0y\n", "a: \"\\ud83d\"\n", "a: \"\\ude00\"\n", "\0", "a: \u{1}\n", "{\"a\": \"\\ud83dx\"}"]
    {
        assert_eq!(code(text), "syntax", "{text:?}");
    }
    // A NUL by its escape is a character of the string, which the operating system would not take.
    let spec = "pipeline: {name: p}\ntransform: {cmd: [\"a\\0b\"]}\ninput: {pfs: {repo: r, glob: /}}\n";
    assert_eq!(code(spec), "nul");
}

#[test]
fn a_flood_of_problems_is_cut_short() {
    let keys: String = (0..100_000).map(|n| format!("nonsense{n}: 1\n")).collect();
    let found = diagnostics(format!("pipeline: {{name: p}}\n{keys}"));
    assert!(found.len() < 60, "{}", found.len());
    assert!(found.iter().any(|diagnostic| diagnostic.message.starts_with("99950 more")));
    let twice: String = (0..100_000).map(|_| "a: 1\n").collect();
    assert!(diagnostics(twice).len() < 60);
}

/// What takes a second when it is linear, and minutes when it is not.
#[test]
fn many_small_things_stay_linear() {
    let spec = |n: usize| {
        format!(
            r#"{{"pipeline":{{"name":"p{n}"}},"transform":{{"cmd":["x"]}},"input":{{"pfs":{{"repo":"r","glob":"/"}}}}}}"#
        )
    };
    let one_line: String = (0..2_000).map(spec).collect();
    assert_eq!(code(one_line), "none");
    let many = diagnostics("{}".repeat(200_000));
    assert!(many.iter().any(|diagnostic| diagnostic.code.slug == "too-many-values"));
    assert_eq!(code("{}\n".repeat(50_000)), "foreign-document");
    assert_eq!(code("a: [\n---\n".repeat(20_000)), "syntax");
    assert_eq!(code("---\n".repeat(100_000)), "none");
    assert_eq!(code("# comment\n".repeat(300_000)), "none");
    assert_eq!(code(format!("[{}]", "*x , ".repeat(100_000))), "unknown-alias");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(same) = decode(bytes) {
            prop_assert_eq!(&same, &text);
        }
        diagnostics(text);
    }

    #[test]
    fn no_damage_to_a_spec_makes_it_panic(cut in 0..400_usize, junk in "[\\[\\]{}:,&*!|>'\"%@#\\-? \n\ta-c~<\\\\]{0,6}", keep in any::<bool>()) {
        const SPEC: &str = "apiVersion: flow.dev/v1\nkind: Pipeline\nmetadata: {name: &n edges}\nspec: &s\n  transform: \
            &t {cmd: [sh, -c, 'true'], env: {A: 1}, stdin: [\"x\\n\"]}\n  input:\n    cross:\n    - pfs: {repo: a, glob: '/(*)'}\n    \
            - union: [{pfs: {repo: b, glob: /}}]\n  datumTimeout: 5m\n---\npipeline: {name: b}\ntransform: {<<: {cmd: [x]}}\n";
        let cut = cut.min(SPEC.len());
        let rest = if keep { &SPEC[cut..] } else { SPEC.get(cut + 1..).unwrap_or_default() };
        diagnostics(format!("{}{junk}{rest}", &SPEC[..cut]));
    }
}
