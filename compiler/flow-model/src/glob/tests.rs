//! Tables of what globs mean, and laws: against a naive matcher, and of the two engines against each other.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeSet;

fn glob(text: &str) -> Glob {
    Glob::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn matches_whole_paths() {
    for (text, yes, no) in [
        ("/", vec!["/"], vec!["/a", "/a/b"]),
        ("", vec!["/"], vec!["/a"]),
        ("/*", vec!["/a", "/.hid", "/é"], vec!["/", "/a/b"]),
        ("/**", vec!["/a", "/a/b", "/a/b/c"], vec!["/"]),
        ("/***", vec!["/a", "/a/b"], vec!["/"]),
        ("/**.csv", vec!["/top.csv", "/d/x.csv", "/.csv"], vec!["/x.csv/y"]),
        ("/**/*.csv", vec!["/d/x.csv", "/d/e/x.csv"], vec!["/top.csv"]),
        ("/?", vec!["/a", "/é", "/日"], vec!["/ab", "/", "/a/b"]),
        ("/a?b", vec!["/a-b"], vec!["/a/b", "/ab"]),
        ("/{a,b}*", vec!["/a", "/bx"], vec!["/c", "/a/x"]),
        ("/{a,{b,c}}", vec!["/a", "/b", "/c"], vec!["/{a", "/ab"]),
        ("/{,a}b", vec!["/b", "/ab"], vec!["/a"]),
        ("/{1..3}", vec!["/1..3"], vec!["/1", "/2"]),
        ("/{x/y,z}", vec!["/x/y", "/z"], vec!["/x"]),
        ("/a,b|c", vec!["/a,b|c"], vec!["/a", "/c"]),
        ("/a@b+c!d^e", vec!["/a@b+c!d^e"], vec!["/ab"]),
        ("/a.c", vec!["/a.c"], vec!["/abc"]),
        (r"/\a\*", vec!["/a*"], vec!["/ab", r"/\a*"]),
        (r"/\\", vec![r"/\"], vec![r"/\\"]),
        ("/@(a|b)", vec!["/a", "/b"], vec!["/ab", "/@a"]),
        ("/?(a)b", vec!["/b", "/ab"], vec!["/aab"]),
        ("/+(a|b)", vec!["/a", "/abba"], vec!["/c"]),
        ("/x*(a|b)", vec!["/x", "/xabba"], vec!["/xc"]),
        ("/**(a)", vec!["/", "/xa", "/x"].split_off(1), vec!["/x/a"]),
        ("/{*(?),b}", vec!["/aa", "/b"], vec!["/a/b"]),
        ("/@({a,b}c|d)", vec!["/ac", "/bc", "/d"], vec!["/cd"]),
        ("/d[!x]e", vec!["/d/e", "/dae"], vec!["/dxe"]),
    ] {
        let glob = glob(text);
        yes.iter().for_each(|path| assert!(glob.is_match(path), "{text} should match {path}"));
        no.iter().for_each(|path| assert!(!glob.is_match(path), "{text} should not match {path}"));
    }
}

#[test]
fn negations_reach_the_end_unless_something_follows() {
    for (text, yes, no) in [
        ("/!(a)", vec!["/b", "/ab", "/aa"], vec!["/a", "/b/c"]),
        ("/!(a|b*)", vec!["/c", "/ab"], vec!["/a", "/b", "/bx"]),
        ("/!(*q)", vec!["/p", "/qp"], vec!["/q", "/pq"]),
        ("/!(d)/*", vec!["/x/y", "/ad/y"], vec!["/d/y", "/dir/y"]),
        ("/p!(x)q", vec!["/pq", "/p.q", "/ppq"], vec!["/pxq", "/pxyq"]),
        ("/!(!(a))", vec!["/a"], vec!["/b", "/ab"]),
        ("/!(a)?", vec!["/b", "/ab"], vec!["/a", "/"]),
        ("/!()", vec!["/a"], vec!["/a/b"]),
        ("/d/!(e|**z)", vec!["/d/x"], vec!["/d/e", "/d/yz", "/d/y/z"]),
        ("/@(!(a)|aa)/x", vec!["/b/x", "/aa/x"], vec!["/a/x", "/ab/x"]),
        ("/+(!(a)-)", vec!["/b-", "/b-c-"], vec!["/a-", "/b"]),
    ] {
        let glob = glob(text);
        yes.iter().for_each(|path| assert!(glob.is_match(path), "{text} should match {path}"));
        no.iter().for_each(|path| assert!(!glob.is_match(path), "{text} should not match {path}"));
    }
}

#[test]
fn classes() {
    for (text, members, others) in [
        ("[abc]", "abc", "d-]"),
        ("[a-c]", "abc", "d-"),
        ("[!a-c]", "d-é/", "abc"),
        ("[^a-c]", "d-é/", "abc"),
        ("[-a]", "-a", "b"),
        ("[a-]", "a-", "b"),
        ("[a-ce-g]", "abcefg", "d-"),
        ("[a-c-e]", "abc-e", "d"),
        ("[ --]", " -+", "a."),
        ("[!!a]", "b", "!a"),
        ("[!^]", "a!", "^"),
        (r"[\!a]", "!a", "b"),
        (r"[a\]]", "a]", "b"),
        (r"[\-a]", "-a", "b"),
        (r"[\[]", "[", "]"),
        ("[*?{(|,)}]", "*?{(|,)}", "a"),
        ("[[:alpha:]]", "aZ", "1é["),
        ("[:alpha:]", "aZ", ":1"),
        ("[![:alpha:]]", "1é", "aZ"),
        ("[[:^alpha:]]", "1é", "aZ"),
        ("[_[:digit:][:upper:]-]", "_1A-", "a["),
        ("[[:xdigit:]]", "0aF", "g"),
        ("[[:punct:]]", "!-[~", "a1"),
        ("[[:space:]]", "\t ", "a"),
        ("[é-ü日]", "éêü日", "e"),
    ] {
        let sequence = parse::parse(text).unwrap_or_else(|(_, error)| panic!("{text}: {error}"));
        let [syntax::Node::Class(class)] = sequence.as_slice() else { panic!("{text} is not one class") };
        let expression = Regex::new(&pattern::regular_expression(&sequence).expect("no negation")).unwrap();
        for (characters, expected) in [(members, true), (others, false)] {
            for character in characters.chars() {
                assert_eq!(class.contains(character), expected, "{text} {character}");
                assert_eq!(expression.is_match(&character.to_string()), expected, "{text} {character}");
            }
        }
    }
}

#[test]
fn captures_by_opening_parenthesis() {
    for (text, path, groups) in [
        ("/", "/", vec![""]),
        ("/*", "/a", vec!["/a"]),
        ("/(*)-(*)", "/a-b-c", vec!["/a-b-c", "a-b", "c"]),
        ("/((*)-(*)).json", "/u-1.json", vec!["/u-1.json", "u-1", "u", "1"]),
        ("/(**).csv", "/d/e.csv", vec!["/d/e.csv", "d/e"]),
        ("/(k1|k2)-a", "/k2-a", vec!["/k2-a", "k2"]),
        ("/(a|ab)*", "/abc", vec!["/abc", "a"]),
        ("/{k1,k2}-(*)", "/k1-a", vec!["/k1-a", "a"]),
        ("/x?(a)", "/x", vec!["/x", ""]),
        ("/x*(a|b)", "/xaba", vec!["/xaba", "aba"]),
        ("/+(a|(b))-", "/aba-", vec!["/aba-", "aba", "b"]),
        ("/@((a)|(b))", "/b", vec!["/b", "b", "", "b"]),
        ("/(?)(*)", "/éa", vec!["/éa", "é", "a"]),
        ("/t*(/?(+(a|b)/*.go))", "/t/a/x.go", vec!["/t/a/x.go", "/a/x.go", "a/x.go", "a"]),
        (
            "/n=!(adele)/y=(2?1(?))/(*).dat",
            "/n=é/y=2514/z.dat",
            vec!["/n=é/y=2514/z.dat", "é", "2514", "4", "z"],
        ),
        ("/!(a|(b))-(*)", "/c-d", vec!["/c-d", "c", "", "d"]),
        ("/(*)-!(x)", "/a-b-y", vec!["/a-b-y", "a-b", "y"]),
        ("/(*)-!(x)", "/a-b-x", vec!["/a-b-x", "a", "b-x"]),
    ] {
        let glob = glob(text);
        assert_eq!(
            glob.captures(path),
            Some(groups.iter().map(ToString::to_string).collect()),
            "{text} {path}"
        );
        assert_eq!(glob.capture_count() + 1, groups.len(), "{text}");
        assert_eq!(
            glob.replace(path, "$1.$0").as_deref(),
            Some(&*format!("{}.{}", groups.get(1).unwrap_or(&""), groups[0]))
        );
    }
    assert_eq!(glob("/(*)-(*)").captures("/a"), None);
    assert_eq!(glob("/(*)-(*)").replace("/a", "k"), None);
    assert_eq!(glob("/(*)").replace("/folder/", "$0 $1").as_deref(), Some("/folder folder"));
}

#[test]
fn broken_globs_say_where_and_what_next() {
    for (text, offset, message, help) in [
        ("/{a", 1, "`{` is never closed", "`}`"),
        ("/(a", 1, "`(` is never closed", "`)`"),
        ("/@(a", 2, "`(` is never closed", "`\\(`"),
        ("/({a)", 4, "`)` closes nothing", "remove"),
        ("/[a", 1, "`[` is never closed", "`]`"),
        ("/[", 1, "`[` is never closed", "`]`"),
        (r"/[a\", 1, "`[` is never closed", "`]`"),
        ("/a)", 2, "`)` closes nothing", "`\\)`"),
        ("/a]", 2, "`]` closes nothing", "`\\]`"),
        ("/a}", 2, "`}` closes nothing", "`\\}`"),
        ("/(a}", 3, "`}` closes nothing", "remove"),
        ("/[]a]", 1, "class is empty", "`\\]`"),
        ("/[!]", 1, "class is empty", "`\\]`"),
        ("/\\", 1, "escapes nothing", "`\\\\`"),
        ("/a\\/", 2, "escapes nothing", "`\\\\`"),
        ("/^(a)", 1, "no kind of group", "`!(...)`"),
        ("/[z-a]", 2, "`z-a` is backwards", "`a-z`"),
        ("/[[:alphabet:]]", 2, "`[:alphabet:]`", "alnum, alpha"),
        ("/[a[b]", 3, "begins nothing", "`\\[`"),
        ("/[a!b]", 3, "negates all of it", "`\\!`"),
        ("/[a[:^alpha:]]", 3, "negates all of it", "first"),
        (r"/[a\-z]", 3, "can mean itself or a range", "first or last"),
        ("/[a-[:digit:]]", 3, "can mean itself or a range", "first or last"),
        ("/{(a),b}", 4, "`)` is ambiguous", "`(a|b)`"),
        ("/{(a|b),c}", 4, "`|` is ambiguous", "`(a|b)`"),
        ("/{(*,b),c}", 4, "`,` is ambiguous", "`{a,b}`"),
        ("/({a|b})", 4, "`|` is ambiguous", "`\\|`"),
        ("/a\0", 2, "NUL", "remove"),
        // The place is one in the text as written, not in the clean path.
        ("é/x/..//./b)", 12, "`)` closes nothing", "remove"),
        ("a/(b/", 2, "`(` is never closed", "`)`"),
    ] {
        let error = Glob::parse(text).expect_err(text);
        assert_eq!(error.offset(), offset, "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.help().contains(help), "{text}: {}", error.help());
    }
}

#[test]
fn too_long_and_too_deep_are_errors() {
    assert!(Glob::parse(&"a".repeat(MAX_GLOB_BYTES)).is_ok());
    let long = Glob::parse(&"a".repeat(MAX_GLOB_BYTES + 1)).expect_err("too long");
    assert_eq!(*long.problem(), GlobProblem::TooLong { bytes: MAX_GLOB_BYTES + 1 });
    for opener in ["*(", "!(", "{"] {
        let closer = if opener == "{" { "}" } else { ")" };
        let nested = |depth| format!("/{}a{}", opener.repeat(depth), closer.repeat(depth));
        assert!(glob(&nested(MAX_GLOB_NESTING)).is_match("/a"), "{opener}");
        let deep = Glob::parse(&nested(MAX_GLOB_NESTING + 1)).expect_err("too deep");
        assert_eq!(*deep.problem(), GlobProblem::TooDeep);
    }
    // Without closers the depth is what stops the recursion.
    assert!(Glob::parse(&"(".repeat(MAX_GLOB_BYTES)).is_err());
}

#[test]
fn hostile_globs_are_answered() {
    let path = format!("/{}", "a".repeat(400));
    let stars = "*a".repeat(100);
    for (text, expected) in [
        (format!("/{stars}*b"), false),
        (format!("/!(x){stars}*b"), false),
        (format!("/!({stars}*b)"), true),
        (format!("/{}b", "*(*(a)*(a))".repeat(20)), false),
        (format!("/!({}b)", "*(*(a)*(a))".repeat(20)), true),
        (format!("/{}b{}", "+(a|".repeat(15), ")".repeat(15)), true),
        (format!("/{}b{}", "!(a|".repeat(15), ")".repeat(15)), true),
        (format!("/{}", "[!b]".repeat(400)), true),
        (format!("/{}", "{a,aa}".repeat(300)), true),
    ] {
        assert_eq!(glob(&text).is_match(&path), expected, "{text}");
    }
}

#[test]
fn prefix_and_depth() {
    for (text, prefix, depth) in [
        ("/", "/", Some(0)),
        ("/*", "/", Some(1)),
        ("/data/*/x", "/data/", Some(3)),
        ("/data/", "/data", Some(1)),
        ("/**", "/", None),
        ("/a/**/b", "/a/", None),
        (r"/a\*/b", "/a*/b", Some(2)),
        ("/a{bc,bd}/x", "/ab", Some(2)),
        ("/a{bc}d*", "/abcd", Some(1)),
        ("/@(x[y]z|xyw)", "/xy", Some(1)),
        ("/@(a/b|c)", "/", None),
        ("/+(ab)c", "/ab", Some(1)),
        ("/?(ab)c", "/", Some(1)),
        ("/*(a/)c", "/", None),
        ("/+(a/b)", "/a/b", None),
        ("/a[/]b", "/a/b", Some(2)),
        ("/a[!b]", "/a", None),
        ("/d/!(e)", "/d/", Some(2)),
        ("/{aé,aè}", "/a", Some(1)),
    ] {
        let glob = glob(text);
        assert_eq!((glob.literal_prefix(), glob.fixed_depth()), (prefix, depth), "{text}");
    }
}

#[test]
fn compares_by_its_text() {
    assert_eq!(glob("/*"), glob("/*"));
    assert_ne!(glob("/*"), glob("*"));
    assert_eq!(glob("*").pattern(), "/*");
    assert_eq!(glob("*/").source(), "*/");
    assert!(glob("/a") < glob("/b"));
    assert_eq!(format!("{:?} {}", glob("/*"), glob("*")), r#"Glob("/*") *"#);
}

/// A glob as a tree that does not come from the parser.
#[derive(Debug, Clone)]
enum Tree {
    Text(&'static str),
    Wildcard(&'static str),
    Class(&'static str, bool, &'static str),
    Either(Vec<Vec<Tree>>),
    Group(char, Vec<Vec<Tree>>),
}

/// Writes the glob. `{}`, which matches nothing and is nothing, keeps apart what would be read as one.
fn written(trees: &[Tree], in_braces: bool) -> String {
    let mut text = String::new();
    for tree in trees {
        let alternatives = |all: &[Vec<Tree>], in_braces: bool, separator: &str| {
            all.iter().map(|one| written(one, in_braces)).collect::<Vec<_>>().join(separator)
        };
        let more = match tree {
            Tree::Text(text) | Tree::Wildcard(text) | Tree::Class(text, ..) => (*text).to_owned(),
            Tree::Either(all) => format!("{{{}}}", alternatives(all, true, ",")),
            Tree::Group(times, all) => format!("{times}({})", alternatives(all, in_braces, "|")),
        };
        if text.ends_with('*') && more.starts_with('*') && !more.starts_with("*(") {
            text.push_str("{}");
        }
        text.push_str(&more);
    }
    match trees.last() {
        Some(Tree::Text(_)) if in_braces => text + "{}",
        _ => text,
    }
}

/// Where a match of `trees` that begins at one of `starts` can end.
fn ends(trees: &[Tree], path: &[char], to_end: bool, starts: BTreeSet<usize>) -> BTreeSet<usize> {
    trees.iter().fold(starts, |starts, tree| {
        let mut found = BTreeSet::new();
        for start in starts {
            found.extend(tree_ends(tree, path, to_end, start));
        }
        found
    })
}

fn tree_ends(tree: &Tree, path: &[char], to_end: bool, start: usize) -> BTreeSet<usize> {
    let run = |stop: &dyn Fn(char) -> bool| {
        let length = path[start..].iter().take_while(|next| !stop(**next)).count();
        start..=start + length
    };
    let any = |all: &[Vec<Tree>], start| -> BTreeSet<usize> {
        all.iter().flat_map(|one| ends(one, path, to_end, BTreeSet::from([start]))).collect()
    };
    let one =
        |accepts: &dyn Fn(char) -> bool| path.get(start).filter(|next| accepts(**next)).map(|_| start + 1);
    match tree {
        Tree::Text(text) => {
            let text: Vec<char> = text.chars().collect();
            path[start..].starts_with(&text).then_some(start + text.len()).into_iter().collect()
        }
        Tree::Wildcard("?") => one(&|next| next != '/').into_iter().collect(),
        Tree::Wildcard("*") => run(&|next| next == '/').collect(),
        Tree::Wildcard(_) => (start..=path.len()).collect(),
        Tree::Class(_, negated, members) => {
            one(&|next| members.contains(next) != *negated).into_iter().collect()
        }
        Tree::Either(all) | Tree::Group('@', all) => any(all, start),
        Tree::Group('!', all) => {
            let forbidden = any(all, start).iter().any(|end| !to_end || *end == path.len());
            if forbidden { BTreeSet::new() } else { run(&|next| next == '/').collect() }
        }
        Tree::Group(times, all) => {
            let mut found = if *times == '+' { any(all, start) } else { BTreeSet::from([start]) };
            if *times == '?' {
                found.extend(any(all, start));
                return found;
            }
            loop {
                let more: BTreeSet<usize> = found.iter().flat_map(|start| any(all, *start)).collect();
                if more.is_subset(&found) {
                    return found;
                }
                found.extend(more);
            }
        }
    }
}

/// What Pachyderm looks at to find how far a negation reaches: `b` for text and stars, `)` for the end of a negation.
fn marks(trees: &[Tree]) -> String {
    trees
        .iter()
        .map(|tree| match tree {
            Tree::Text(_) | Tree::Wildcard("*" | "**") => "b".to_owned(),
            Tree::Wildcard(_) | Tree::Class(..) => String::new(),
            Tree::Either(all) => all.iter().map(|one| marks(one)).collect(),
            Tree::Group(times, all) => {
                all.iter().map(|one| marks(one)).collect::<String>() + if *times == '!' { ")" } else { "" }
            }
        })
        .collect()
}

/// Start and end of what each group captured.
type Slots = Vec<Option<(usize, usize)>>;

/// What is left to match; called with a position, it tells whether that leads to a match.
type Then<'t> = &'t mut dyn FnMut(usize, &mut Slots) -> bool;

/// A backtracking matcher without a memory, which gives up after so many steps.
struct Backtracking {
    path: Vec<char>,
    to_end: bool,
    steps_left: Cell<usize>,
}

fn groups_in(trees: &[Tree]) -> usize {
    let in_all = |all: &[Vec<Tree>]| all.iter().map(|one| groups_in(one)).sum::<usize>();
    trees
        .iter()
        .map(|tree| match tree {
            Tree::Either(all) => in_all(all),
            Tree::Group(_, all) => 1 + in_all(all),
            _ => 0,
        })
        .sum()
}

impl Backtracking {
    fn of(trees: &[Tree], path: &str) -> Self {
        Self {
            path: path.chars().collect(),
            to_end: negation_ends_path(trees),
            steps_left: Cell::new(20_000),
        }
    }

    /// What is captured, if the path matches; `Err` if that took too many steps to find out.
    fn captures(&self, trees: &[Tree]) -> Result<Option<Vec<String>>, ()> {
        let mut slots = vec![None; groups_in(trees)];
        let mut found = None;
        self.all(trees, 0, 1, &mut slots, &mut |end, slots| {
            found = (end == self.path.len()).then(|| slots.clone());
            found.is_some()
        });
        let text = |slot: Option<(usize, usize)>| {
            slot.map_or(String::new(), |(from, to)| self.path[from..to].iter().collect())
        };
        let whole = Some((0, self.path.len()));
        if self.steps_left.get() == 0 {
            return Err(());
        }
        Ok(found.map(|slots: Slots| std::iter::once(whole).chain(slots).map(text).collect()))
    }

    fn all(&self, trees: &[Tree], group: usize, at: usize, slots: &mut Slots, then: Then) -> bool {
        self.steps_left.set(self.steps_left.get().saturating_sub(1));
        if self.steps_left.get() == 0 {
            return true; // which ends the search
        }
        let Some((first, rest)) = trees.split_first() else { return then(at, slots) };
        let next = group + groups_in(std::slice::from_ref(first));
        self.one(first, group, at, slots, &mut |at, slots| self.all(rest, next, at, slots, then))
    }

    fn any(&self, all: &[Vec<Tree>], mut group: usize, at: usize, slots: &mut Slots, then: Then) -> bool {
        all.iter().any(|one| {
            let first = group;
            group += groups_in(one);
            self.all(one, first, at, slots, then)
        })
    }

    fn one(&self, tree: &Tree, group: usize, at: usize, slots: &mut Slots, then: Then) -> bool {
        let (times, all) = match tree {
            Tree::Either(all) => return self.any(all, group, at, slots, then),
            Tree::Group(times, all) => (times, all),
            // A greedy leaf: the longest first.
            leaf => {
                return tree_ends(leaf, &self.path, self.to_end, at)
                    .into_iter()
                    .rev()
                    .any(|end| then(end, slots));
            }
        };
        let close: Then = &mut |end, slots| {
            let before = slots[group].replace((at, end));
            let matched = then(end, slots);
            if !matched {
                slots[group] = before;
            }
            matched
        };
        match times {
            '@' => self.any(all, group + 1, at, slots, close),
            '?' => self.any(all, group + 1, at, slots, close) || close(at, slots),
            '+' => self.rounds(all, group + 1, at, slots, close),
            '*' => self.rounds(all, group + 1, at, slots, close) || close(at, slots),
            _ => tree_ends(tree, &self.path, self.to_end, at).into_iter().rev().any(|end| close(end, slots)),
        }
    }

    fn rounds(&self, all: &[Vec<Tree>], group: usize, at: usize, slots: &mut Slots, then: Then) -> bool {
        self.any(all, group, at, slots, &mut |end, slots| {
            (end > at && self.rounds(all, group, end, slots, then)) || then(end, slots)
        })
    }
}

fn negation_ends_path(trees: &[Tree]) -> bool {
    marks(trees).split_once(')').is_none_or(|(_, after)| !after.contains('b'))
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ab", "/a", "/b"]).prop_map(Tree::Text),
        3 => prop::sample::select(vec!["?", "*", "**"]).prop_map(Tree::Wildcard),
        1 => prop::sample::select(vec![
            Tree::Class("[ab]", false, "ab"),
            Tree::Class("[!a]", true, "a"),
            Tree::Class("[/b]", false, "/b"),
        ]),
    ];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        let alternatives = prop::collection::vec(prop::collection::vec(inner, 0..3), 1..4);
        let times = prop::sample::select(vec!['@', '?', '*', '+', '!']);
        (times, alternatives, prop::bool::weighted(0.25)).prop_map(|(times, alternatives, braces)| {
            if braces { Tree::Either(alternatives) } else { Tree::Group(times, alternatives) }
        })
    });
    prop::collection::vec(tree, 1..5)
}

/// All valid paths with up to four characters after the first slash.
fn small_paths() -> Vec<String> {
    let mut all = vec![String::from("/")];
    for length in 0..4 {
        let shorter: Vec<String> = all.iter().filter(|path| path.len() == length + 1).cloned().collect();
        all.extend(shorter.iter().flat_map(|path| ["a", "b", "/"].map(|next| format!("{path}{next}"))));
    }
    all.retain(|path| !path.contains("//") && !path.ends_with('/'));
    all
}

/// The glob that `trees` write after a slash, which is not to be cleaned away.
fn glob_of(trees: &[Tree]) -> (String, Glob) {
    let text = written(trees, false);
    let apart = if text.starts_with('/') { "{}" } else { "" };
    let text = format!("/{apart}{text}");
    let glob = glob(&text);
    (text, glob)
}

#[test]
fn the_naive_matcher_meets_matches_and_mismatches() {
    // Otherwise the law below might hold for want of cases.
    let star = [Tree::Text("a"), Tree::Group('!', vec![vec![Tree::Text("b")]]), Tree::Wildcard("?")];
    let count = small_paths().into_iter().filter(|path| glob_of(&star).1.is_match(path)).count();
    assert_eq!((small_paths().len(), count), (50, 13));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn matches_what_a_naive_matcher_matches(trees in trees()) {
        let (text, glob) = glob_of(&trees);
        let to_end = negation_ends_path(&trees);
        for path in small_paths() {
            let characters: Vec<char> = path.chars().collect();
            let expected = ends(&trees, &characters, to_end, BTreeSet::from([1])).contains(&characters.len());
            prop_assert_eq!(glob.is_match(&path), expected, "{} {}", text, path);
            prop_assert_eq!(glob.captures(&path).is_some(), expected);
            if expected {
                prop_assert!(path.starts_with(glob.literal_prefix()), "{} {}", text, path);
                let depth = path.matches('/').count();
                prop_assert!(glob.fixed_depth().is_none_or(|fixed| fixed == depth), "{} {}", text, path);
            }
        }
    }

    #[test]
    fn captures_what_a_backtracking_matcher_captures(trees in trees()) {
        let (text, glob) = glob_of(&trees);
        for path in small_paths() {
            if let Ok(expected) = Backtracking::of(&trees, &path).captures(&trees) {
                prop_assert_eq!(glob.captures(&path), expected, "{} {}", text, path);
            }
        }
    }

    #[test]
    fn listing_finds_each_path_that_matches(trees in trees(), files in prop::collection::btree_set("(/[ab]{1,2}){1,3}", 0..8)) {
        // A file can not be a folder, too.
        let files: Vec<&str> = files
            .iter()
            .filter(|file| !files.iter().any(|other| other.starts_with(&format!("{file}/"))))
            .map(String::as_str)
            .collect();
        let (_, glob) = glob_of(&trees);
        let mut every = BTreeSet::new();
        for file in &files {
            every.insert((*file).to_owned());
            every.extend(file.match_indices('/').skip(1).map(|(end, _)| file[..=end].to_owned()));
        }
        let expected: Vec<Match> = every
            .iter()
            .filter(|path| glob.is_match(path.trim_end_matches('/')))
            .map(|path| Match { path: path.trim_end_matches('/').to_owned(), is_dir: path.ends_with('/') })
            .collect();
        prop_assert_eq!(matches(&glob, files), expected);
    }

    #[test]
    fn any_text_is_answered(text in r"[ab/.,|é\[\]{}()!@+^*?\\:-]{0,40}", path in "(/[ab.é]{1,3}){1,4}", template in r"[$0-9{}x]{0,8}") {
        match Glob::parse(&text) {
            Ok(glob) => {
                let captures = glob.captures(&path);
                prop_assert_eq!(captures.is_some(), glob.is_match(&path));
                prop_assert_eq!(captures.is_some(), glob.replace(&path, &template).is_some());
                prop_assert!(captures.is_none_or(|groups| groups.len() == glob.capture_count() + 1));
                // A clean glob cleans to itself and means the same.
                let again = Glob::parse(glob.pattern()).expect("the clean glob is as good");
                prop_assert_eq!(again.is_match(&path), glob.is_match(&path));
                prop_assert_eq!(again.pattern(), glob.pattern());
            }
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.offset()) && error.offset() < text.len().max(1));
                prop_assert!(!error.to_string().is_empty() && !error.help().is_empty());
            }
        }
    }

    #[test]
    fn even_binary_text_is_answered(text in any::<String>()) {
        drop(Glob::parse(&text));
        drop(template::expand(&text, &["a"]));
    }
}
