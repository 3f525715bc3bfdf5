//! The datums of an input: what `pachctl list datum -f SPEC` answered over the repos of `trees.json`, against what
//! the front end and the engine make of the same input over the same files.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use flow_engine::inputs::{self, LeafTree};
use flow_model::{
    datum::{Datum, InputContent},
    digest::Digest,
    name::{BranchName, ProjectName, RepoName},
    path::RepoPath,
    span::SourceMap,
    spec::Input,
    tree::FileEntry,
};
use flow_spec::{KnownRepo, KnownRepos, render::concise};
use flow_store::{Reader, SeededEntropy, Store, Transaction};
use serde_json::{Value, json};

use crate::recorded::{cases, entries, list, not_built_in_input, text};

/// Cases in which flow answers otherwise on purpose: what it answers, and why.
const DIFFERENCES: &[(&str, Unlike, &str)] = &[
    (
        "cross of the same repo, no names",
        Unlike::Refused("FLOW0308"),
        "both would be at `/pfs/two`; `create pipeline` refuses it as well, only `list datum` does not",
    ),
    (
        "cross with a repo without branch",
        Unlike::Waits,
        "a repo without a commit is no mistake: its data will come",
    ),
    (
        "invalid glob '/(a'",
        Unlike::Refused("FLOW0406"),
        "Pachyderm matches `/a`, as if the `(` were not there",
    ),
    (
        r"invalid glob '/\\'",
        Unlike::Refused("FLOW0406"),
        "the backslash escapes nothing; Pachyderm never matches",
    ),
    ("invalid glob '/a)'", Unlike::Refused("FLOW0406"), "Pachyderm never matches: no path there has a `)`"),
    (
        "invalid glob '/{a'",
        Unlike::Refused("FLOW0406"),
        "Pachyderm matches `/a`, as if the `{` were not there",
    ),
    (
        "name with a slash",
        Unlike::Refused("FLOW0301"),
        "a name is one folder below `/pfs` and one variable; with a slash it can be neither",
    ),
];

/// How flow's answer differs from Pachyderm's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unlike {
    /// It refuses the input with this code, where Pachyderm lists datums.
    Refused(&'static str),
    /// It waits for the first commit, where Pachyderm refuses.
    Waits,
}

/// What there is to know of one input of a datum but its content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Seen {
    input: String,
    repo: String,
    branch: String,
    /// With a slash at the end if it is a folder.
    path: String,
    size: u64,
}

/// The answer to an input.
#[derive(PartialEq, Eq, Debug)]
enum Answer {
    /// These datums, each with its inputs in order.
    Datums(BTreeSet<Vec<Seen>>),
    /// It is refused; with the codes of our errors.
    Refused(BTreeSet<&'static str>),
    /// A branch has no commit.
    Waits,
}

/// Pachyderm's hashes and ours: contents that are equal there must be equal here, and the reverse.
///
/// Folders differ in one thing on purpose: Pachyderm's hash leaves out the names of the files in a folder, so renaming
/// one runs nothing again although the program sees the name. Ours has them.
#[derive(Default)]
struct Twins {
    ours: BTreeMap<String, Digest>,
    theirs: BTreeMap<Digest, String>,
    /// Folders with other names in them that Pachyderm cannot tell apart.
    only_names_differ: usize,
}

impl Twins {
    fn meet(&mut self, case: &str, theirs: &str, ours: &InputContent) {
        let (digest, is_folder) = match ours {
            InputContent::File(entry) => (entry.blob.0, false),
            InputContent::Folder { digest, .. } => (*digest, true),
        };
        let known = self.theirs.entry(digest).or_insert_with(|| theirs.to_owned());
        assert_eq!(known, theirs, "{case}: contents that we call equal differ for Pachyderm");
        let known = *self.ours.entry(theirs.to_owned()).or_insert(digest);
        if is_folder && known != digest {
            self.only_names_differ += 1;
        } else {
            assert_eq!(known, digest, "{case}: contents that Pachyderm calls equal differ for us");
        }
    }
}

/// The recorded repos in a store in memory.
struct Repos {
    reader: Reader,
    branches: BTreeMap<(RepoName, BranchName), LeafTree>,
    known: KnownRepos,
}

impl Repos {
    async fn recorded() -> Self {
        let media = Arc::new(flow_store::ObjectMedia::memory());
        let store = Store::create(media, Arc::new(SeededEntropy::new(1))).await.unwrap();
        // Pachyderm's own project of this name is where everything was recorded.
        let name: ProjectName = "default".parse().unwrap();
        let transaction = store.project(&name).begin(None);
        let mut known = KnownRepos::none(name);
        let mut branches = BTreeMap::new();
        for tree in cases("trees.json") {
            let repo: RepoName = text(&tree["repo"]).parse().unwrap();
            let live: &mut KnownRepo = known.repos.entry(repo.clone()).or_default();
            for (branch, files) in entries(&tree["branches"]) {
                let branch: BranchName = branch.parse().unwrap();
                live.branches.insert(branch.clone());
                branches.insert((repo.clone(), branch), put(&transaction, files).await);
            }
        }
        Self { reader: transaction.reader(), branches, known }
    }

    /// What flow makes of an input, with the datums in its order.
    async fn answer(&self, input: &Value) -> (Answer, Vec<Datum>) {
        let spec = json!({"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "input": input});
        let input = match self.compile(&spec) {
            Ok(input) => input,
            Err(codes) => return (Answer::Refused(codes), Vec::new()),
        };
        let tree = |leaf: &flow_model::spec::PfsInput| {
            self.branches.get(&(leaf.repo.clone(), leaf.branch.clone())).copied()
        };
        let Some(trees) = input.leaves().into_iter().map(tree).collect::<Option<Vec<LeafTree>>>() else {
            return (Answer::Waits, Vec::new());
        };
        let datums = inputs::list(&self.reader, &input, &trees).await.unwrap();
        let seen: BTreeSet<Vec<Seen>> = datums.iter().map(ours).collect();
        assert_eq!(seen.len(), datums.len(), "a datum is there twice");
        (Answer::Datums(seen), datums)
    }

    fn compile(&self, spec: &Value) -> Result<Input, BTreeSet<&'static str>> {
        let mut sources = SourceMap::default();
        sources.add("case.json", spec.to_string());
        let compiled = flow_spec::compile(&sources, &self.known);
        let Some(workflow) = compiled.workflow else {
            let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
            let codes: BTreeSet<&'static str> = errors.map(|error| error.code.id).collect();
            assert!(!codes.is_empty(), "no workflow and no error");
            return Err(codes);
        };
        let warnings: String =
            compiled.diagnostics.iter().map(|diagnostic| concise(diagnostic, &sources)).collect();
        assert_eq!(workflow.pipelines.len(), 1, "{spec}: {warnings}");
        Ok(workflow.pipelines.into_values().next().unwrap().value.input)
    }
}

async fn put(transaction: &Transaction, files: &Value) -> LeafTree {
    let mut edits = BTreeMap::new();
    let (mut count, mut bytes) = (0, 0);
    for (path, content) in entries(files) {
        let content = text(content);
        let blob = transaction.put_blob(content.to_owned().into_bytes().into());
        let size = content.len() as u64;
        edits.insert(RepoPath::parse(path).unwrap(), Some(FileEntry { blob, size, executable: false }));
        count += 1;
        bytes += size;
    }
    let tree = transaction.edit_files(None, edits).await.unwrap();
    LeafTree { tree, files: count, bytes }
}

fn ours(datum: &Datum) -> Vec<Seen> {
    let input = |input: &flow_model::datum::DatumInput| Seen {
        input: input.name.to_string(),
        repo: input.repo.to_string(),
        branch: input.branch.to_string(),
        path: match input.content {
            InputContent::Folder { .. } if input.path != "/" => format!("{}/", input.path),
            _ => input.path.clone(),
        },
        size: input.content.bytes(),
    };
    datum.inputs.iter().map(input).collect()
}

/// A recorded answer, with the datums as recorded.
fn theirs(case: &Value) -> (Answer, &[Value]) {
    if case.get("error").is_some() {
        return (Answer::Refused(BTreeSet::new()), &[]);
    }
    let datums = list(&case["datums"]);
    (Answer::Datums(datums.iter().map(their_datum).collect()), datums)
}

fn their_datum(datum: &Value) -> Vec<Seen> {
    let input = |input: &Value| {
        let path = text(&input["path"]);
        assert_eq!(text(&input["type"]) == "DIR", path.ends_with('/'), "{input}");
        Seen {
            input: text(&input["input"]).to_owned(),
            repo: text(&input["repo"]).to_owned(),
            branch: text(&input["branch"]).to_owned(),
            path: path.to_owned(),
            size: input["size"].as_u64().unwrap_or_else(|| panic!("{input} has no size")),
        }
    };
    list(&datum["inputs"]).iter().map(input).collect()
}

/// Compares the contents of datums that are equal otherwise.
fn compare_contents(case: &str, twins: &mut Twins, datums: &[Datum], recorded: &[Value]) {
    let mine: BTreeMap<Vec<Seen>, &Datum> = datums.iter().map(|datum| (ours(datum), datum)).collect();
    for datum in recorded {
        let mine = mine[&their_datum(datum)];
        for (mine, input) in mine.inputs.iter().zip(list(&datum["inputs"])) {
            twins.meet(case, text(&input["hash"]), &mine.content);
        }
    }
}

#[tokio::test]
async fn inputs_have_the_datums_that_pachyderm_lists() {
    let repos = Repos::recorded().await;
    let mut twins = Twins::default();
    let (mut equal, mut refused, mut not_built) = (0, 0, 0);
    let mut differ: BTreeMap<&str, Unlike> =
        DIFFERENCES.iter().map(|(name, unlike, _)| (*name, *unlike)).collect();
    let mut problems = Vec::new();
    for case in &cases("datums.json") {
        let name = text(&case["name"]);
        let (mine, datums) = repos.answer(&case["input"]).await;
        let (recorded, list) = theirs(case);
        if let Some(what) = not_built_in_input(&case["input"]) {
            let codes = if let Answer::Refused(codes) = &mine { codes.clone() } else { BTreeSet::new() };
            if !codes.iter().any(|code| code.starts_with("FLOW06")) {
                problems.push(format!("{name}: `{what}` is not built, but not refused as such: {mine:?}"));
            }
            not_built += 1;
            continue;
        }
        if let Some(unlike) = differ.remove(name) {
            let as_listed = match (&mine, &recorded, unlike) {
                (Answer::Refused(codes), Answer::Datums(_), Unlike::Refused(code)) => codes.contains(code),
                (Answer::Waits, Answer::Refused(_), Unlike::Waits) => true,
                _ => false,
            };
            if !as_listed {
                problems.push(format!("{name}: listed as {unlike:?}, but is {mine:?}"));
            }
            continue;
        }
        match (&mine, &recorded) {
            (Answer::Refused(_), Answer::Refused(_)) => refused += 1,
            (mine, recorded) if mine == recorded => {
                compare_contents(name, &mut twins, &datums, list);
                equal += 1;
            }
            _ => problems.push(format!("{name}: flow {mine:?}\n  Pachyderm {recorded:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(differ.is_empty(), "listed differences that are not recorded: {differ:?}");
    println!(
        "datums: {equal} inputs equal, {refused} refused by both, {} differ on purpose, {not_built} not built; {} contents",
        DIFFERENCES.len(),
        twins.ours.len()
    );
    assert!(twins.only_names_differ > 0, "names are in Pachyderm's hash of a folder after all");
    assert!(equal >= 120 && twins.ours.len() >= 100, "only {equal} cases compared");
}
