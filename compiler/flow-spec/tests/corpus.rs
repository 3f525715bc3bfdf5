//! Pipeline specs of all generations of Pachyderm, each compiled on its own: no panic, and either a workflow or
//! problems with a place.
//!
//! The files under `golden-tests/pachyderm-specs/` are written for this test in the forms that real specs have. Set
//! `FLOW_PACHYDERM_SPECS` to a directory to try real ones; what comes out is printed, not compared.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its cases from files and fails by a panic"
)]

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use flow_model::{name::ProjectName, span::SourceMap};
use flow_spec::{KnownRepos, compile, decode, render::concise};

fn specs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "json" || ext == "yaml" || ext == "yml"));
    files.sort();
    files
}

/// One line per file: what was made of it, or which codes how often.
fn summary(directory: &Path, details: bool) -> String {
    let known = KnownRepos::none(ProjectName::parse("test").unwrap());
    let mut text = String::new();
    for path in specs(directory) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut sources = SourceMap::default();
        sources.add(name.clone(), decode(fs::read(&path).unwrap()).unwrap());
        let compiled = compile(&sources, &known);
        assert!(
            compiled.diagnostics.iter().all(|d| d.primary.is_some()),
            "{name}: a problem without a place"
        );
        let errors = compiled.diagnostics.iter().any(|d| d.is_error());
        assert_eq!(compiled.workflow.is_none(), errors, "{name}: a workflow and errors, or neither");
        write!(text, "{name}:").unwrap();
        if let Some(workflow) = &compiled.workflow {
            write!(text, " {} pipelines", workflow.pipelines.len()).unwrap();
        }
        let mut codes: BTreeMap<_, usize> = BTreeMap::new();
        compiled.diagnostics.iter().for_each(|d| *codes.entry(d.code).or_default() += 1);
        for (code, count) in codes {
            write!(text, " {} {} x{count}", code.id, code.slug).unwrap();
        }
        text.push('\n');
        for diagnostic in compiled.diagnostics.iter().filter(|_| details) {
            text.push_str(&concise(diagnostic, &sources));
        }
    }
    text
}

#[test]
fn specs_of_all_generations() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden-tests/pachyderm-specs");
    let expected = directory.join("expected.txt");
    let found = summary(&directory, false);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&expected).unwrap());
}

#[test]
fn real_specs_if_there_are_any() {
    if let Some(directory) = std::env::var_os("FLOW_PACHYDERM_SPECS") {
        let text = summary(Path::new(&directory), true);
        assert!(!text.is_empty());
        fs::write(std::env::temp_dir().join("flow-pachyderm-specs.txt"), text).unwrap();
    }
}
