//! Killed from outside at random moments of a job with 1,000 datums.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant, SystemTime},
};

use golden_tests::look::Look;

use crate::{
    lab::{APPLY, expect_no_process_left, expect_no_stale_lock, finished, pipeline, repo, workspace},
    listener::Listener,
};

const DATUMS: usize = 1000;
const KILLS: usize = 5;
/// Kills that fell while this many datums were finished count.
const COUNTS_FROM: usize = 100;
const COUNTS_TO: usize = 900;
/// How long a run may take to get to where it is killed.
const PATIENCE: Duration = Duration::from_secs(100);

/// After how many datums each kill comes: one in each fifth of the range, where in it by chance.
fn moments() -> [usize; KILLS] {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as usize;
    let share = (COUNTS_TO - COUNTS_FROM - 100) / KILLS;
    std::array::from_fn(|kill| {
        let chance = (seed / 1000).wrapping_mul(2 * kill + 1) / 7 % share;
        COUNTS_FROM + 50 + kill * share + chance
    })
}

#[test]
fn a_job_that_is_killed_again_and_again_runs_no_finished_datum_twice() {
    let listener = Listener::start();
    let spec = [repo("in"), pipeline("say", "in", "/*", 0.0, &listener)].concat();
    let mut files = vec![("spec.yaml".to_owned(), spec.into_bytes())];
    files.extend((0..DATUMS).map(|number| (format!("in/{number}"), format!("{number}\n").into_bytes())));
    let workspace = workspace(&files);

    // How often each datum had run when it was found finished: it must stay at that.
    let mut final_counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut counted, mut lost) = (0, 0);
    for moment in moments() {
        let mut flow = workspace.start(&APPLY).unwrap();
        let end = Instant::now() + PATIENCE;
        while listener.total() < moment + lost && flow.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "{} datums after {PATIENCE:?}", listener.total());
            thread::sleep(Duration::from_micros(300));
        }
        flow.kill().unwrap();
        flow.wait().unwrap();
        expect_no_process_left(&workspace, &listener);
        let counts = listener.counts();
        let durable: Vec<String> = finished(&workspace).into_values().flatten().collect();
        if (COUNTS_FROM..=COUNTS_TO).contains(&durable.len()) {
            counted += 1;
        }
        lost = counts.values().sum::<usize>() - durable.len();
        println!("killed at {}: {} finished, {} executions to repeat or lost", moment, durable.len(), lost);
        for label in durable {
            let times = counts[&label];
            assert_eq!(*final_counts.entry(label.clone()).or_insert(times), times, "`{label}` ran again");
        }
    }
    assert!(counted >= KILLS - 1, "only {counted} kills fell while the job was half done");

    workspace.flow(&APPLY).unwrap().expect_exit(0, "the last run").unwrap();
    expect_no_process_left(&workspace, &listener);
    expect_no_stale_lock(&workspace, true);
    let ran = listener.counts();
    for (label, times) in final_counts {
        assert_eq!(ran[&label], times, "`{label}` was finished, and ran again");
    }
    assert_eq!(ran.len(), DATUMS);
    assert!(ran.values().sum::<usize>() <= DATUMS + lost, "more than what was not durable ran again");
    let look = Look::at(workspace.path()).unwrap();
    look.expect_whole().unwrap();
    let outputs = look.files("say", "master").unwrap();
    assert_eq!(outputs.len(), DATUMS);
    for (path, text) in outputs {
        assert_eq!(text, format!("{}, seen as in\n", path.trim_start_matches('/')));
    }
}
