//! Dies before, after and in the middle of each write to the store.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use flow_store::fault::Crash;
use golden_tests::{
    faults::{CRASH, CrashPoint, WRITES},
    look::{Contents, Look},
    workspace::{Output, Workspace},
};

use crate::{
    lab::{APPLY, copy, expect_no_process_left, expect_no_stale_lock, finished, pipeline, repo, workspace},
    listener::Listener,
};

/// Fewer points than this in any phase, or in all, would show little.
const POINTS_PER_PHASE: usize = 10;
const POINTS: usize = 60;
/// More writes than any of the scenarios has.
const WRITES_MAX: usize = 200;

/// What the store was doing when the process died.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Create,
    Ingest,
    Publish,
    Record,
    Finalise,
}

/// A workspace before the command that dies, and what that command leads to when it does not.
struct Scenario {
    name: &'static str,
    before: Workspace,
    after: Contents,
    operations: usize,
}

/// The phase of the last of these writes.
fn phase(writes: &str) -> Phase {
    let lines: Vec<&str> = writes.lines().collect();
    let last = *lines.last().unwrap();
    let in_jobs = |line: &&str| line.starts_with("create jobs/");
    match last {
        "create flow.json" => Phase::Create,
        _ if in_jobs(&last) => Phase::Record,
        _ if lines.iter().any(in_jobs) => Phase::Finalise,
        _ if last.starts_with("create objects/") => Phase::Ingest,
        _ => Phase::Publish,
    }
}

/// A first apply of everything, and an apply of changes.
fn scenarios(listener: &Listener) -> Vec<Scenario> {
    let spec = [
        repo("large"),
        repo("in"),
        pipeline("one", "in", "/*", 0.04, listener),
        pipeline("two", "one", "/*", 0.0, listener),
        pipeline("three", "two", "/", 0.0, listener),
    ]
    .concat();
    let mut files = vec![("spec.yaml".to_owned(), spec.into_bytes())];
    // Files of this size are objects of their own, one write each.
    files.extend((0..4).map(|number: u8| (format!("large/{number}"), vec![number; (1 << 20) + 1])));
    files.extend((0..6).map(|number| (format!("in/{number}"), format!("text {number}\n").into_bytes())));
    let fresh = workspace(&files);

    let applied = copy(&fresh);
    undisturbed(&applied);
    let first = Scenario {
        name: "first",
        before: fresh,
        after: Look::at(applied.path()).unwrap().contents().unwrap(),
        operations: Look::at(applied.path()).unwrap().operations().unwrap(),
    };
    fs::write(applied.path().join("in/3"), "another text\n").unwrap();
    fs::write(applied.path().join("in/6"), "one text more\n").unwrap();
    fs::write(applied.path().join("large/4"), vec![4; (1 << 20) + 1]).unwrap();
    fs::remove_file(applied.path().join("in/0")).unwrap();
    let changed = copy(&applied);
    undisturbed(&changed);
    let second = Scenario {
        name: "second",
        before: applied,
        after: Look::at(changed.path()).unwrap().contents().unwrap(),
        operations: Look::at(changed.path()).unwrap().operations().unwrap(),
    };
    vec![first, second]
}

fn undisturbed(workspace: &Workspace) {
    workspace.flow(&APPLY).unwrap().expect_exit(0, "an undisturbed run").unwrap();
}

fn is_no_op(output: &Output) -> bool {
    output.stdout.to_lowercase().contains("no changes")
}

/// Whether storage can leave such a thing behind. `flow.json` is the one object that nothing points to: it relies on
/// creates being atomic, as they are on every storage that flow supports.
fn can_happen(point: CrashPoint, scenario: usize) -> bool {
    !(scenario == 0 && point == CrashPoint { how: Crash::Torn, write: 1 })
}

/// Crashes at the point, if the run gets that far; the phase, if it does.
fn crash_and_repeat(scenario: &Scenario, point: CrashPoint, listener: &Listener) -> Option<Phase> {
    let what = format!("{} apply, {point}", scenario.name);
    let workspace = copy(&scenario.before);
    listener.reset();
    let long_finished = finished(&workspace);
    let writes = workspace.root().join("writes");
    let env = [(CRASH, point.to_string()), (WRITES, writes.display().to_string())];
    let crashed = workspace.flow_with(&APPLY, &env).unwrap();
    if crashed.code.is_some() {
        crashed.expect_exit(0, &what).unwrap();
        return None;
    }
    expect_no_process_left(&workspace, listener);
    let writes = fs::read_to_string(&writes).unwrap();
    let ran_before = listener.counts();
    let now_finished = finished(&workspace);

    let repeated = workspace.flow(&APPLY).unwrap().expect_exit(0, &what).unwrap();
    expect_no_process_left(&workspace, listener);
    expect_no_stale_lock(&workspace, !is_no_op(&repeated));
    let look = Look::at(workspace.path()).unwrap();
    assert_eq!(look.contents().unwrap(), scenario.after, "{what}");
    assert_eq!(look.operations().unwrap(), scenario.operations, "{what}: published twice or never");
    look.expect_whole().unwrap();
    let ran = listener.counts();
    for (job, labels) in now_finished {
        for label in labels.iter().filter(|_| !long_finished.contains_key(&job)) {
            assert_eq!(
                ran.get(label),
                ran_before.get(label),
                "{what}: `{label}` was finished, and ran again"
            );
            assert_eq!(ran.get(label), Some(&1), "{what}: `{label}`");
        }
    }
    let again = workspace.flow(&APPLY).unwrap().expect_exit(0, &what).unwrap();
    assert!(is_no_op(&again), "{what}: {}", again.stdout);
    assert_eq!(listener.counts(), ran, "{what}");
    Some(phase(&writes))
}

#[test]
fn a_run_that_died_at_any_write_is_taken_up_by_the_next() {
    let (points, next) = (Mutex::new(BTreeMap::<Phase, usize>::new()), AtomicUsize::new(0));
    // Each lane has a listener, and so scenarios, of its own: the port is part of the specs.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let listener = Listener::start();
                let scenarios = scenarios(&listener);
                let ways = [Crash::Before, Crash::After, Crash::Torn];
                let mut ended = [[false; 3]; 2];
                loop {
                    // Write 1 in all ways and scenarios, then write 2, and so on.
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let (write, rest) = (number / 6 + 1, number % 6);
                    let (scenario, way) = (rest / 3, rest % 3);
                    if ended.as_flattened().iter().all(|ended| *ended) {
                        return;
                    }
                    assert!(write < WRITES_MAX, "no end of writes");
                    let point = CrashPoint { how: ways[way], write };
                    if ended[scenario][way] || !can_happen(point, scenario) {
                        continue;
                    }
                    match crash_and_repeat(&scenarios[scenario], point, &listener) {
                        Some(phase) => *points.lock().unwrap().entry(phase).or_default() += 1,
                        None => ended[scenario][way] = true,
                    }
                }
            });
        }
    });
    let points = points.into_inner().unwrap();
    assert!(points.values().sum::<usize>() >= POINTS, "{points:?}");
    for phase in [Phase::Ingest, Phase::Publish, Phase::Record, Phase::Finalise] {
        assert!(points.get(&phase).copied().unwrap_or(0) >= POINTS_PER_PHASE, "{points:?}");
    }
}
