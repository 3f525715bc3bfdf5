//! Eight commands at once on one store: each succeeds or names the conflict, and nothing that succeeded is lost.

use std::{collections::BTreeSet, fs, sync::Barrier, thread};

use golden_tests::{
    look::Look,
    workspace::{Output, Workspace},
};

use crate::{
    lab::{APPLY, expect_no_stale_lock, pipeline, repo, workspace},
    listener::Listener,
};

const WRITERS: usize = 8;

/// Runs a command per writer, all at the same moment.
fn at_once(workspace: &Workspace, commands: &[Vec<String>]) -> Vec<Output> {
    let start = Barrier::new(commands.len());
    let run = |command: &Vec<String>| {
        start.wait();
        workspace.flow(command).unwrap()
    };
    thread::scope(|scope| {
        let running: Vec<_> = commands.iter().map(|command| scope.spawn(move || run(command))).collect();
        running.into_iter().map(|running| running.join().unwrap()).collect()
    })
}

/// Whether it succeeded; otherwise it must have named the conflict.
fn succeeded(output: &Output, moved: &str) -> bool {
    if output.code == Some(0) {
        return true;
    }
    let conflict =
        output.stderr.contains("changed by someone else in the meantime") && output.stderr.contains(moved);
    assert!(output.code == Some(1) && conflict, "{output:?}");
    false
}

fn puts(files: &BTreeSet<String>, address: impl Fn(&str) -> String) -> Vec<Vec<String>> {
    let put = |file: &String| ["put", &address(file), "-f", file].map(str::to_owned).to_vec();
    files.iter().map(put).collect()
}

/// A workspace with a file per writer, and these manifests applied.
fn applied(specs: &str, more: &[(String, Vec<u8>)]) -> (Workspace, BTreeSet<String>) {
    let files: BTreeSet<String> = (0..WRITERS).map(|writer| format!("file-{writer}")).collect();
    let mut all = vec![("spec.yaml".to_owned(), specs.as_bytes().to_vec())];
    all.extend(files.iter().map(|file| (file.clone(), format!("content of {file}\n").into_bytes())));
    all.extend_from_slice(more);
    let workspace = workspace(&all);
    workspace.flow(&APPLY).unwrap().expect_exit(0, "the first apply").unwrap();
    (workspace, files)
}

const SHARED: &str = "---\napiVersion: flow.dev/v1\nkind: Repo\nmetadata: {name: shared}\n";

#[test]
fn puts_to_one_branch_lose_nothing() {
    let (workspace, mut missing) = applied(SHARED, &[]);
    let mut put = BTreeSet::new();
    // Whoever lost a race tries again; each round has a winner.
    for round in 0..WRITERS {
        let outputs = at_once(&workspace, &puts(&missing, |file| format!("shared@master:/{file}")));
        let won: BTreeSet<String> = missing
            .iter()
            .zip(&outputs)
            .filter(|(_, output)| succeeded(output, "shared@master"))
            .map(|(file, _)| file.clone())
            .collect();
        assert!(!won.is_empty(), "round {round}: {outputs:?}");
        missing.retain(|file| !won.contains(file));
        put.extend(won);
        let look = Look::at(workspace.path()).unwrap();
        let there: BTreeSet<String> = look
            .files("shared", "master")
            .unwrap()
            .into_iter()
            .map(|(path, _)| path[1..].to_owned())
            .collect();
        assert_eq!(there, put, "round {round}");
        assert_eq!(look.linear_history("shared", "master").unwrap(), put.len(), "round {round}");
        assert_eq!(look.operations().unwrap(), 1 + put.len(), "round {round}");
        if missing.is_empty() {
            break;
        }
    }
    assert!(missing.is_empty());
    Look::at(workspace.path()).unwrap().expect_whole().unwrap();
}

#[test]
fn puts_to_different_branches_all_succeed() {
    let specs: String =
        (0..WRITERS).map(|writer| SHARED.replace("shared", &format!("own-{writer}"))).collect();
    let (workspace, files) = applied(&specs, &[]);
    let outputs =
        at_once(&workspace, &puts(&files, |file| format!("{}@master:/x", file.replace("file", "own"))));
    for output in outputs {
        output.expect_exit(0, "a put to a branch of its own").unwrap();
    }
    let look = Look::at(workspace.path()).unwrap();
    assert_eq!(look.operations().unwrap(), 1 + WRITERS);
    for writer in 0..WRITERS {
        let expected = ("/x".to_owned(), format!("content of file-{writer}\n"));
        assert_eq!(look.files(&format!("own-{writer}"), "master").unwrap(), [expected]);
    }
    look.expect_whole().unwrap();
}

#[test]
fn applies_and_puts_at_once_converge() {
    let listener = Listener::start();
    let specs = [SHARED.to_owned(), repo("in"), pipeline("say", "in", "/*", 0.02, &listener)].concat();
    let inputs: Vec<_> =
        (0..6).map(|number| (format!("in/{number}"), format!("{number}\n").into_bytes())).collect();
    let (workspace, files) = applied(&specs, &inputs);
    listener.reset();
    // New data, a new pipeline, and files put meanwhile.
    for number in 0..12 {
        fs::write(workspace.path().join(format!("in/{number}")), format!("{number}, changed\n")).unwrap();
    }
    fs::write(workspace.path().join("more.yaml"), pipeline("hear", "say", "/*", 0.0, &listener)).unwrap();
    let apply = APPLY.map(str::to_owned).to_vec();
    let mut commands = vec![apply; WRITERS / 2];
    commands.extend(puts(&files, |file| format!("shared@master:/{file}")).into_iter().take(WRITERS / 2));
    let outputs = at_once(&workspace, &commands);
    let (applies, puts) = outputs.split_at(WRITERS / 2);
    let applies = applies.iter().filter(|output| succeeded(output, "in")).count();
    let puts = puts.iter().filter(|output| succeeded(output, "shared@master")).count();
    assert!(applies > 0 && puts > 0, "{outputs:?}");

    workspace.flow(&APPLY).unwrap().expect_exit(0, "an apply afterwards").unwrap();
    let look = Look::at(workspace.path()).unwrap();
    assert_eq!(look.files("shared", "master").unwrap().len(), puts);
    assert_eq!(look.linear_history("shared", "master").unwrap(), puts);
    assert_eq!(look.linear_history("in", "master").unwrap(), 2);
    assert_eq!(look.linear_history("say", "master").unwrap(), 2);
    assert_eq!(look.linear_history("hear", "master").unwrap(), 1);
    assert_eq!(look.files("hear", "master").unwrap().len(), 12);
    // Several runs wanted the same jobs; whoever had a job's lock ran it, and nobody ran it again.
    let ran = listener.counts();
    assert_eq!(ran.len(), 24, "{ran:?}");
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    look.expect_whole().unwrap();
    expect_no_stale_lock(&workspace, false);
}
