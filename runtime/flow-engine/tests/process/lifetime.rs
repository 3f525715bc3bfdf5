//! Nothing outlives its datum, its slot or flow.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use flow_engine::process::{
    Exit, Helper, LogLimits, Sandbox, SandboxSupport, Slot, SlotConfig, SlotDirs, SlotError, probe,
};

use crate::lab::{Lab, command, err, marker, out, processes_with, runtime, wait_until_gone};
use crate::{Case, both, contained};

pub(crate) const CASES: &[Case] = &[
    both("daemons_die_with_their_datum", daemons),
    both("everything_dies_with_flow", killed_flow),
    both("everything_dies_with_a_dropped_slot", dropped),
    contained("everything_dies_with_the_helper", killed_helper),
    contained("refused_namespaces_are_found_out", refused),
];

fn daemons(lab: &Lab) {
    let mut bench = lab.slot();
    let marker = marker();
    for (attempt, at_least) in [
        (format!("sleep {marker} &"), 1),
        (format!("setsid sleep {marker} &"), 1),
        (format!("(setsid sh -c 'setsid sleep {marker} & sleep {marker}' &) ; sleep 0.1"), 1),
        (
            format!(
                "trap '' HUP TERM INT; nohup setsid sleep {marker} > /dev/null 2>&1 < /dev/null & exit 0"
            ),
            1,
        ),
        (format!("sleep {marker} & kill -STOP $!"), 1),
    ] {
        let started = Instant::now();
        let report = bench.sh(&attempt);
        assert_eq!(report.exit, Exit::Code(0), "{attempt}: {}", err(&report));
        assert!(report.leftovers_killed >= at_least, "{attempt}: {report:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "a leftover held its pipes open");
        assert_eq!(processes_with(&marker), Vec::<std::path::PathBuf>::new(), "{attempt}");
    }
    // What a daemon had already said is kept.
    let report = bench.sh(&format!("(echo from the background; sleep {marker}) & sleep 0.1"));
    assert_eq!(out(&report), "from the background\n");
    bench.stop();
}

const VICTIM: &str = "--victim";

/// Becomes a flow that starts a slot, runs something endless in it and waits to be killed.
pub(crate) fn victim_main() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, kind, folder, seconds] = arguments.as_slice() else { return None };
    if flag != VICTIM {
        return None;
    }
    let sandbox = if kind == "plain" { Sandbox::Plain } else { Sandbox::Namespaces };
    runtime().block_on(async {
        let config =
            SlotConfig { dirs: SlotDirs::at(folder), code: None, sandbox, helper: Helper::default() };
        let mut slot = Slot::start(config).await.unwrap();
        if seconds == "idle" {
            println!("ready");
            std::future::pending::<()>().await;
        }
        let script = format!(
            "setsid sleep {seconds} & (setsid sleep {seconds} &); touch $FLOW_PFS/out/ready; sleep {seconds}"
        );
        slot.run(&command(&["sh", "-c", &script]), LogLimits::default()).await.unwrap();
    });
    Some(ExitCode::SUCCESS)
}

fn victim(lab: &Lab, seconds: &str) -> std::process::Child {
    let kind = if lab.contained() { "namespaces" } else { "plain" };
    let mut victim = std::process::Command::new("/proc/self/exe");
    victim.arg0("victim").args([VICTIM, kind]).arg(lab.path("slot")).arg(seconds).stdout(Stdio::piped());
    victim.spawn().unwrap()
}

fn wait_for(what: &Path) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !what.exists() {
        assert!(Instant::now() < limit, "{} never came", what.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn killed_flow(lab: &Lab) {
    let slot_folder = lab.path("slot").display().to_string();
    let marker = marker();
    let mut flow = victim(lab, &marker);
    wait_for(&lab.path(if lab.contained() { "slot/out/ready" } else { "slot/current/out/ready" }));
    assert!(processes_with(&marker).len() >= 4, "{:?}", processes_with(&marker));
    flow.kill().unwrap();
    flow.wait().unwrap();
    wait_until_gone(&marker);
    wait_until_gone(&slot_folder);

    let mut flow = victim(lab, "idle");
    let mut line = String::new();
    BufReader::new(flow.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert!(!processes_with(&slot_folder).is_empty());
    flow.kill().unwrap();
    flow.wait().unwrap();
    wait_until_gone(&slot_folder);
}

fn dropped(lab: &Lab) {
    let mut bench = lab.slot();
    let marker = marker();
    let endless = command(&["sh", "-c", &format!("setsid sleep {marker} & sleep {marker}")]);
    lab.runtime.block_on(async {
        let run = bench.slot.run(&endless, LogLimits::default());
        assert!(tokio::time::timeout(Duration::from_millis(300), run).await.is_err());
        let again = bench.slot.run(&endless, LogLimits::default()).await;
        assert!(matches!(again, Err(SlotError::Abandoned)), "{again:?}");
    });
    assert!(processes_with(&marker).len() >= 2);
    drop(bench);
    wait_until_gone(&marker);
    wait_until_gone(&lab.path("slot").display().to_string());
}

fn killed_helper(lab: &Lab) {
    let mut bench = lab.slot();
    let marker = marker();
    let helper = bench.slot.helper_id().unwrap();
    let endless = command(&["sh", "-c", &format!("setsid sleep {marker} & sleep {marker}")]);
    let killer = std::thread::spawn({
        let marker = marker.clone();
        move || {
            while processes_with(&marker).len() < 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let pid = rustix::process::Pid::from_raw(helper.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    });
    let outcome = lab.runtime.block_on(bench.slot.run(&endless, LogLimits::default()));
    assert!(matches!(outcome, Err(SlotError::HelperGone)), "{outcome:?}");
    killer.join().unwrap();
    wait_until_gone(&marker);
}

/// Systems that forbid a step of the sandbox, made with the namespaces of this one.
fn refused(lab: &Lab) {
    let found = runtime().block_on(probe(&lab.path("probe"), &Helper::default()));
    assert_eq!(found, SandboxSupport::Namespaces);
    assert!(!lab.path("probe").exists());
    for (forbid, wanted) in [
        ("echo 0 > /proc/sys/user/max_user_namespaces", "create user, mount and PID namespaces"),
        ("mount -t tmpfs none /proc/irq", "mount a fresh /proc"),
        ("mount -t tmpfs none /proc/sys", "mount a fresh /proc"),
    ] {
        let wrapper = lab.script(
            "wrapper",
            &format!("#!/bin/sh\nexec unshare -Urmpf --kill-child --mount-proc sh -c '{forbid}; exec \"$0\" \"$@\"' \"$EXE\" \"$@\"\n")
                .replace("$EXE", &lab.path("program").display().to_string()),
        );
        std::fs::copy("/proc/self/exe", lab.path("program")).unwrap();
        match runtime().block_on(probe(&lab.path("probe"), &Helper::at(wrapper))) {
            SandboxSupport::Unavailable { reason } => assert!(reason.contains(wanted), "{forbid}: {reason}"),
            SandboxSupport::Namespaces => panic!("not noticed: {forbid}"),
        }
    }
    let missing = runtime().block_on(probe(&lab.path("probe"), &Helper::at("/no/such/helper")));
    assert!(matches!(&missing, SandboxSupport::Unavailable { reason } if reason.contains("/no/such/helper")));
    assert_eq!(missing.sandbox(), Sandbox::Plain);
}
