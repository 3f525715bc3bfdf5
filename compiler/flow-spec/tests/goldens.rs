//! `golden-tests/diagnostics/<case>/`: the files of a workspace in, `expected.txt` out. One test per directory.
//!
//! * `*.yaml`, `*.yml`, `*.json`: the sources, in the order of their names; `flow.yaml` is the settings.
//! * `live.txt`, if there: what is live, one repo per line: `images master dev`, `edges master by edges`.
//!
//! A new case is a directory with an empty `expected.txt`. To accept new output:
//! `UPDATE_GOLDEN=1 cargo test -p flow-spec --test goldens`, then read the diff.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its cases from files and fails by a panic"
)]

use std::{collections::BTreeSet, fs, path::Path};

use flow_model::{
    diagnostic::Diagnostic,
    name::{BranchName, PipelineName, ProjectName},
    span::SourceMap,
};
use flow_spec::{KnownRepo, KnownRepos, compile, decode, render::concise, settings};

fn live(text: &str) -> KnownRepos {
    let mut known = KnownRepos::none(ProjectName::parse("test").unwrap());
    for line in text.lines() {
        let (line, pipeline) = match line.split_once(" by ") {
            Some((line, pipeline)) => (line, Some(PipelineName::parse(pipeline).unwrap())),
            None => (line, None),
        };
        let mut words = line.split(' ');
        let repo = words.next().unwrap().parse().unwrap();
        let branches: BTreeSet<BranchName> = words.map(|word| word.parse().unwrap()).collect();
        known.repos.insert(repo, KnownRepo { branches, pipeline });
    }
    known
}

fn case(expected: &Path) -> datatest_stable::Result<()> {
    let directory = expected.parent().ok_or("no directory")?;
    let mut names: Vec<String> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, std::io::Error>>()?;
    names.sort();
    let mut known = live(&fs::read_to_string(directory.join("live.txt")).unwrap_or_default());
    let mut sources = SourceMap::default();
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for name in names.iter().filter(|name| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))) {
        match decode(fs::read(directory.join(name))?) {
            Err(error) => diagnostics.push(error.diagnostic(name)),
            Ok(text) => {
                let id = sources.add(name.clone(), text);
                if name == "flow.yaml" {
                    known.settings = Some(id);
                    diagnostics.extend(settings::parse(&sources, id).1);
                }
            }
        }
    }
    diagnostics.extend(compile(&sources, &known).diagnostics);
    let found: String = diagnostics.iter().map(|diagnostic| concise(diagnostic, &sources)).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(expected, &found)?;
    }
    let wanted = fs::read_to_string(expected)?;
    if found == wanted { Ok(()) } else { Err(format!("--- expected\n{wanted}--- found\n{found}").into()) }
}

datatest_stable::harness! {
    { test = case, root = "../../golden-tests/diagnostics", pattern = r"expected\.txt$" },
}
